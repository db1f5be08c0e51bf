package rest

import (
	"context"
	"net/http"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/store"
)

// ListSubmissions is GET /api/v2/store/submissions.
func (s *server) ListSubmissions(ctx context.Context, r ListSubmissionsRequestObject) (ListSubmissionsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	found, total, err := s.store.Submissions(ctx, auth.From(ctx).UserID, submissionFilter(r.Params.Status, r.Params.Search, p))
	if err != nil {
		return nil, err
	}
	return ListSubmissions200JSONResponse{Submissions: submissions(found, submission), Pagination: p.of(total)}, nil
}

// SubmitAgent is POST /api/v2/store/submissions.
func (s *server) SubmitAgent(ctx context.Context, r SubmitAgentRequestObject) (SubmitAgentResponseObject, error) {
	user := auth.From(ctx)
	v, err := s.store.Submit(ctx, user.UserID, user.Email, draft(r.Body))
	if err != nil {
		return nil, err
	}
	return SubmitAgent201JSONResponse(submission(v)), nil
}

// GetSubmission is GET /api/v2/store/submissions/{submission_id}.
func (s *server) GetSubmission(ctx context.Context, r GetSubmissionRequestObject) (GetSubmissionResponseObject, error) {
	v, err := s.store.Submission(ctx, auth.From(ctx).UserID, r.SubmissionId)
	if err != nil {
		return nil, err
	}
	return GetSubmission200JSONResponse(submission(v)), nil
}

// EditSubmission is PUT /api/v2/store/submissions/{submission_id}.
func (s *server) EditSubmission(ctx context.Context, r EditSubmissionRequestObject) (EditSubmissionResponseObject, error) {
	v, err := s.store.Edit(ctx, auth.From(ctx).UserID, r.SubmissionId, draft(r.Body))
	if err != nil {
		return nil, err
	}
	return EditSubmission200JSONResponse(submission(v)), nil
}

// WithdrawSubmission is DELETE /api/v2/store/submissions/{submission_id}.
func (s *server) WithdrawSubmission(ctx context.Context, r WithdrawSubmissionRequestObject) (WithdrawSubmissionResponseObject, error) {
	if err := s.store.Withdraw(ctx, auth.From(ctx).UserID, r.SubmissionId); err != nil {
		return nil, err
	}
	return WithdrawSubmission204Response{}, nil
}

// ListAllSubmissions is GET /api/v2/store/admin/submissions.
func (s *server) ListAllSubmissions(ctx context.Context, r ListAllSubmissionsRequestObject) (ListAllSubmissionsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	found, total, err := s.store.AllSubmissions(ctx, submissionFilter(r.Params.Status, r.Params.Search, p))
	if err != nil {
		return nil, err
	}
	return ListAllSubmissions200JSONResponse{Submissions: submissions(found, reviewed), Pagination: p.of(total)}, nil
}

// GetSubmittedGraph is GET /api/v2/store/admin/submissions/{submission_id}/graph.
func (s *server) GetSubmittedGraph(ctx context.Context, r GetSubmittedGraphRequestObject) (GetSubmittedGraphResponseObject, error) {
	v, err := s.store.AnySubmission(ctx, r.SubmissionId)
	if err != nil {
		return nil, err
	}
	text, err := s.graphs.ExportForOthers(ctx, v.UserID, v.GraphID, v.GraphVersion)
	return graphAnswer{status: http.StatusOK, text: text}, err
}

// ReviewSubmission is POST /api/v2/store/admin/submissions/{submission_id}/review.
func (s *server) ReviewSubmission(ctx context.Context, r ReviewSubmissionRequestObject) (ReviewSubmissionResponseObject, error) {
	approved := r.Body.Approved
	if approved == nil {
		approved = r.Body.IsApproved
	}
	if approved == nil {
		return nil, problem.Field("approved", "a value is required")
	}
	v, err := s.store.Decide(ctx, auth.From(ctx).UserID, r.SubmissionId, store.Decision{
		Approved: *approved, Comments: firstOf(r.Body.Comments), InternalComments: firstOf(r.Body.InternalComments),
	})
	if err != nil {
		return nil, err
	}
	return ReviewSubmission200JSONResponse(reviewed(v)), nil
}

// FeatureStoreAgent is PUT /api/v2/store/admin/agents/{agent_id}.
func (s *server) FeatureStoreAgent(ctx context.Context, r FeatureStoreAgentRequestObject) (FeatureStoreAgentResponseObject, error) {
	d, err := s.store.Feature(ctx, r.AgentId, r.Body.Featured)
	if err != nil {
		return nil, err
	}
	return FeatureStoreAgent200JSONResponse(storeDetails(d)), nil
}

// VisitDownloadStoreAgentResponse implements DownloadStoreAgentResponseObject.
func (a graphAnswer) VisitDownloadStoreAgentResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitGetSubmittedGraphResponse implements GetSubmittedGraphResponseObject.
func (a graphAnswer) VisitGetSubmittedGraphResponse(w http.ResponseWriter) error { return a.send(w) }

func draft(r *SubmissionRequest) store.Draft {
	return store.Draft{
		GraphID: r.GraphId, GraphVersion: r.GraphVersion, Name: r.Name, Slug: firstOf(r.Slug), SubHeading: firstOf(r.SubHeading),
		Description: firstOf(r.Description), Instructions: firstOf(r.Instructions), Categories: listOf(r.Categories), ImageURLs: listOf(r.ImageUrls),
		VideoURL: firstOf(r.VideoUrl), OutputDemoURL: firstOf(r.AgentOutputDemoUrl), ChangesSummary: firstOf(r.ChangesSummary),
		ScheduleCron: firstOf(r.RecommendedScheduleCron),
	}
}

func submissionFilter(status *SubmissionStatus, search *string, p page) store.SubmissionFilter {
	f := store.SubmissionFilter{Search: firstOf(search), Offset: p.offset(), Limit: p.size}
	if status != nil {
		f.Status = store.Status(*status)
	}
	return f
}

func submissions(found []store.Submission, show func(*store.Submission) Submission) []Submission {
	list := make([]Submission, len(found))
	for i := range found {
		list[i] = show(&found[i])
	}
	return list
}

// submission is one as its author sees it.
func submission(v *store.Submission) Submission {
	return Submission{
		Id: v.ID, ListingId: v.ListingID, ListingVersionId: v.ID, ListingVersion: v.Version, UserId: v.UserID, Slug: v.Slug,
		GraphId: v.GraphID, GraphVersion: v.GraphVersion, Name: v.Name, SubHeading: v.SubHeading, Description: v.Description,
		Instructions: orNull(v.Instructions), Categories: v.Categories, ImageUrls: v.ImageURLs, VideoUrl: orNull(v.VideoURL),
		AgentOutputDemoUrl: orNull(v.OutputDemoURL), ChangesSummary: v.ChangesSummary, RecommendedScheduleCron: orNull(v.ScheduleCron),
		Status: SubmissionStatus(v.Status), SubmittedAt: v.SubmittedAt.UTC(), ReviewedAt: utc(v.ReviewedAt), ReviewerId: orNull(v.ReviewerID),
		ReviewComments: orNull(v.Comments), RunCount: v.Runs, ReviewCount: v.Reviews, ReviewAvgRating: v.Rating,
	}
}

// reviewed is one as administrators see it.
func reviewed(v *store.Submission) Submission {
	out := submission(v)
	out.InternalComments = &v.InternalComments
	return out
}

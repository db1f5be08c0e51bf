package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/store"
)

// Store is the marketplace. What is listed is for everybody; submissions are their author's alone, but for the methods
// that say otherwise.
type Store interface {
	List(ctx context.Context, f store.Filter) ([]store.Agent, int, error)
	Details(ctx context.Context, id string) (*store.Details, error)
	DetailsBySlug(ctx context.Context, creator, slug string) (*store.Details, error)
	VersionGraph(ctx context.Context, versionID string) (graph.Ref, error)
	Rate(ctx context.Context, user, id string, score int, comments string) (*store.Review, error)
	Reviews(ctx context.Context, id string, offset, limit int) ([]store.Review, int, error)
	Creators(ctx context.Context, f store.CreatorFilter) ([]store.Creator, int, error)
	Creator(ctx context.Context, username string) (*store.Creator, error)
	Profile(ctx context.Context, user string) (*store.Creator, error)
	SetProfile(ctx context.Context, user, alias string, p store.Creator) (*store.Creator, error)

	Submit(ctx context.Context, user, alias string, d store.Draft) (*store.Submission, error)
	Edit(ctx context.Context, user, id string, d store.Draft) (*store.Submission, error)
	Withdraw(ctx context.Context, user, id string) error
	Submissions(ctx context.Context, user string, f store.SubmissionFilter) ([]store.Submission, int, error)
	Submission(ctx context.Context, user, id string) (*store.Submission, error)

	// For administrators.
	AllSubmissions(ctx context.Context, f store.SubmissionFilter) ([]store.Submission, int, error)
	AnySubmission(ctx context.Context, id string) (*store.Submission, error)
	Decide(ctx context.Context, reviewer, id string, d store.Decision) (*store.Submission, error)
	Feature(ctx context.Context, id string, featured bool) (*store.Details, error)
}

// ListStoreAgents is GET /api/v2/store/agents.
func (s *server) ListStoreAgents(ctx context.Context, r ListStoreAgentsRequestObject) (ListStoreAgentsResponseObject, error) {
	list, err := s.listStoreAgents(ctx, r.Params)
	return ListStoreAgents200JSONResponse(list), err
}

func (s *server) listStoreAgents(ctx context.Context, q ListStoreAgentsParams) (StoreAgentList, error) {
	p := pageOf(q.Page, q.PageSize)
	f := store.Filter{
		Search: firstOf(q.Search, q.SearchQuery, q.SearchTerm), Category: firstOf(q.Category), Creator: firstOf(q.Creator),
		Featured: q.Featured != nil && *q.Featured, Offset: p.offset(), Limit: p.size,
	}
	if q.SortedBy != nil {
		f.Sort = store.Sort(*q.SortedBy)
	} else if q.SortBy != nil {
		f.Sort = store.Sort(*q.SortBy)
	}
	if f.Sort == store.Sort(StoreOrderUpdatedAt) {
		f.Sort = store.ByNewest
	}
	found, total, err := s.store.List(ctx, f)
	if err != nil {
		return StoreAgentList{}, err
	}
	list := make([]StoreAgent, len(found))
	for i := range found {
		list[i] = storeAgent(&found[i])
	}
	return StoreAgentList{Agents: list, Pagination: p.of(total)}, nil
}

// GetStoreAgent is GET /api/v2/store/agents/{agent_id}.
func (s *server) GetStoreAgent(ctx context.Context, r GetStoreAgentRequestObject) (GetStoreAgentResponseObject, error) {
	d, err := s.store.Details(ctx, r.AgentId)
	if err != nil {
		return nil, err
	}
	return GetStoreAgent200JSONResponse(storeDetails(d)), nil
}

// GetStoreAgentBySlug is GET /api/v2/store/agents/{username}/{slug}.
func (s *server) GetStoreAgentBySlug(ctx context.Context, r GetStoreAgentBySlugRequestObject) (GetStoreAgentBySlugResponseObject, error) {
	d, err := s.store.DetailsBySlug(ctx, r.Username, r.Slug)
	if err != nil {
		return nil, err
	}
	return GetStoreAgentBySlug200JSONResponse(storeDetails(d)), nil
}

// DownloadStoreAgent is GET /api/v2/store/listings/versions/{version_id}/graph/download.
func (s *server) DownloadStoreAgent(ctx context.Context, r DownloadStoreAgentRequestObject) (DownloadStoreAgentResponseObject, error) {
	ref, err := s.store.VersionGraph(ctx, r.VersionId)
	if err != nil {
		return nil, err
	}
	text, err := s.graphs.Export(ctx, auth.From(ctx).UserID, ref.GraphID, ref.Version)
	return graphAnswer{status: http.StatusOK, text: text}, err
}

// ListStoreReviews is GET /api/v2/store/agents/{agent_id}/reviews.
func (s *server) ListStoreReviews(ctx context.Context, r ListStoreReviewsRequestObject) (ListStoreReviewsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	found, total, err := s.store.Reviews(ctx, r.AgentId, p.offset(), p.size)
	if err != nil {
		return nil, err
	}
	list := make([]StoreReview, len(found))
	for i := range found {
		list[i] = storeReview(&found[i])
	}
	return ListStoreReviews200JSONResponse{Reviews: list, Pagination: p.of(total)}, nil
}

// RateStoreAgent is POST /api/v2/store/agents/{agent_id}/reviews.
func (s *server) RateStoreAgent(ctx context.Context, r RateStoreAgentRequestObject) (RateStoreAgentResponseObject, error) {
	review, err := s.rate(ctx, r.AgentId, r.Body)
	return RateStoreAgent200JSONResponse(review), err
}

// ReviewStoreAgent is POST /api/v2/store/agents/{agent_id}/review.
func (s *server) ReviewStoreAgent(ctx context.Context, r ReviewStoreAgentRequestObject) (ReviewStoreAgentResponseObject, error) {
	review, err := s.rate(ctx, r.AgentId, r.Body)
	return ReviewStoreAgent200JSONResponse(review), err
}

func (s *server) rate(ctx context.Context, agent string, r *StoreReviewRequest) (StoreReview, error) {
	score := r.Score
	if score == nil {
		score = r.Rating
	}
	if score == nil {
		return StoreReview{}, problem.Field("score", "a value is required")
	}
	review, err := s.store.Rate(ctx, auth.From(ctx).UserID, agent, *score, firstOf(r.Comments))
	if err != nil {
		return StoreReview{}, err
	}
	return storeReview(review), nil
}

// ListCreators is GET /api/v2/store/creators.
func (s *server) ListCreators(ctx context.Context, r ListCreatorsRequestObject) (ListCreatorsResponseObject, error) {
	list, err := s.listCreators(ctx, r.Params)
	return ListCreators200JSONResponse(list), err
}

func (s *server) listCreators(ctx context.Context, q ListCreatorsParams) (CreatorList, error) {
	p := pageOf(q.Page, q.PageSize)
	f := store.CreatorFilter{Search: firstOf(q.Search), Featured: q.Featured != nil && *q.Featured, Offset: p.offset(), Limit: p.size}
	if q.SortedBy != nil {
		f.Sort = store.Sort(*q.SortedBy)
	}
	found, total, err := s.store.Creators(ctx, f)
	if err != nil {
		return CreatorList{}, err
	}
	list := make([]Creator, len(found))
	for i := range found {
		list[i] = creator(&found[i])
	}
	return CreatorList{Creators: list, Pagination: p.of(total)}, nil
}

// GetCreator is GET /api/v2/store/creators/{username}.
func (s *server) GetCreator(ctx context.Context, r GetCreatorRequestObject) (GetCreatorResponseObject, error) {
	c, err := s.store.Creator(ctx, r.Username)
	if err != nil {
		return nil, err
	}
	return GetCreator200JSONResponse(creator(c)), nil
}

// GetStoreProfile is GET /api/v2/store/profile.
func (s *server) GetStoreProfile(ctx context.Context, _ GetStoreProfileRequestObject) (GetStoreProfileResponseObject, error) {
	c, err := s.store.Profile(ctx, auth.From(ctx).UserID)
	if err != nil {
		return nil, err
	}
	return GetStoreProfile200JSONResponse(creator(c)), nil
}

// SetStoreProfile is PUT /api/v2/store/profile.
func (s *server) SetStoreProfile(ctx context.Context, r SetStoreProfileRequestObject) (SetStoreProfileResponseObject, error) {
	p := store.Creator{
		Username: firstOf(r.Body.Username), Name: firstOf(r.Body.Name), Description: firstOf(r.Body.Description),
		Links: listOf(r.Body.Links), AvatarURL: firstOf(r.Body.AvatarUrl),
	}
	user := auth.From(ctx)
	c, err := s.store.SetProfile(ctx, user.UserID, user.Email, p)
	if err != nil {
		return nil, err
	}
	return SetStoreProfile200JSONResponse(creator(c)), nil
}

// firstOf is the first of several names of one field that was given.
func firstOf[T any](values ...*T) T {
	for _, v := range values {
		if v != nil {
			return *v
		}
	}
	var none T
	return none
}

func listOf(values *[]string) []string {
	if values == nil || *values == nil {
		return []string{}
	}
	return *values
}

// orNull shows a text that is not there as null.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func storeAgent(a *store.Agent) StoreAgent {
	return StoreAgent{
		Id: a.ID, ListingVersionId: a.SubmissionID, Slug: a.Slug, Name: a.Name, AgentName: a.Name, SubHeading: a.SubHeading, Description: a.Description,
		Creator: a.Creator, CreatorAvatar: orNull(a.CreatorAvatar), ImageUrl: orNull(a.ImageURL), AgentImage: orNull(a.ImageURL), Categories: a.Categories,
		Featured: a.Featured, Runs: a.Runs, Rating: a.Rating, ReviewCount: a.Reviews, GraphId: a.GraphID, AgentGraphId: a.GraphID,
		GraphVersion: a.GraphVersion, CreatedAt: a.CreatedAt.UTC(), UpdatedAt: a.UpdatedAt.UTC(),
	}
}

func storeDetails(d *store.Details) StoreAgentDetails {
	out := StoreAgentDetails{
		Id: d.ID, ListingVersionId: d.SubmissionID, StoreListingVersionId: d.SubmissionID, ActiveVersionId: d.SubmissionID, HasApprovedVersion: true,
		Slug: d.Slug, Name: d.Name, AgentName: d.Name, SubHeading: d.SubHeading, Description: d.Description,
		Creator: d.Creator, CreatorAvatar: orNull(d.CreatorAvatar), ImageUrl: orNull(d.ImageURL), AgentImage: d.ImageURLs, ImageUrls: d.ImageURLs,
		AgentVideo: orNull(d.VideoURL), AgentOutputDemo: orNull(d.OutputDemoURL), Instructions: orNull(d.Instructions),
		RecommendedScheduleCron: orNull(d.ScheduleCron), Categories: d.Categories,
		Featured: d.Featured, Runs: d.Runs, Rating: d.Rating, ReviewCount: d.Reviews, GraphId: d.GraphID, AgentGraphId: d.GraphID,
		GraphVersion: d.GraphVersion, CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(), LastUpdated: d.UpdatedAt.UTC(),
		Versions: make([]StoreVersion, len(d.Versions)), GraphVersions: make([]int, len(d.Versions)),
	}
	for i, v := range d.Versions {
		at := v.ApprovedAt.UTC()
		out.Versions[i] = StoreVersion{Id: v.ID, Version: v.Version, GraphVersion: v.GraphVersion, ChangesSummary: v.ChangesSummary, ApprovedAt: at}
		out.GraphVersions[i] = v.GraphVersion
		out.Changelog = append(out.Changelog, struct {
			ChangesSummary string    `json:"changes_summary"`
			Date           time.Time `json:"date"`
			Version        int       `json:"version"`
		}{v.ChangesSummary, at, v.Version})
	}
	return out
}

func storeReview(r *store.Review) StoreReview {
	return StoreReview{Score: r.Score, Comments: orNull(r.Comments), CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
}

func creator(c *store.Creator) Creator {
	return Creator{
		Name: c.Name, Username: c.Username, Description: c.Description, Links: c.Links, AvatarUrl: orNull(c.AvatarURL), IsFeatured: c.Featured,
		NumAgents: c.Agents, AgentRuns: c.Runs, AgentRating: c.Rating, TopCategories: c.TopCategories,
	}
}

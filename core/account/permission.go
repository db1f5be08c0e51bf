package account

import "slices"

// Permission is something that an API key may do. A key that lacks it is as good as none for the operations that it
// covers.
type Permission string

// The permissions of the reference platform, so that its clients find the names that they know. Some cover operations
// that do not exist here.
const (
	Identity           Permission = "IDENTITY"
	ExecuteGraph       Permission = "EXECUTE_GRAPH"
	ReadGraph          Permission = "READ_GRAPH"
	WriteGraph         Permission = "WRITE_GRAPH"
	ExecuteBlock       Permission = "EXECUTE_BLOCK"
	ReadBlock          Permission = "READ_BLOCK"
	ReadStore          Permission = "READ_STORE"
	WriteStore         Permission = "WRITE_STORE"
	ReadLibrary        Permission = "READ_LIBRARY"
	WriteLibrary       Permission = "WRITE_LIBRARY"
	RunAgent           Permission = "RUN_AGENT"
	ReadRun            Permission = "READ_RUN"
	WriteRun           Permission = "WRITE_RUN"
	ShareRun           Permission = "SHARE_RUN"
	ReadRunReview      Permission = "READ_RUN_REVIEW"
	WriteRunReview     Permission = "WRITE_RUN_REVIEW"
	ReadSchedule       Permission = "READ_SCHEDULE"
	WriteSchedule      Permission = "WRITE_SCHEDULE"
	ReadCredits        Permission = "READ_CREDITS"
	UseTools           Permission = "USE_TOOLS"
	ManageIntegrations Permission = "MANAGE_INTEGRATIONS"
	ReadIntegrations   Permission = "READ_INTEGRATIONS"
	DeleteIntegrations Permission = "DELETE_INTEGRATIONS"
	ReadFiles          Permission = "READ_FILES"
	WriteFiles         Permission = "WRITE_FILES"
)

var permissions = []Permission{
	Identity, ExecuteGraph, ReadGraph, WriteGraph, ExecuteBlock, ReadBlock, ReadStore, WriteStore, ReadLibrary, WriteLibrary,
	RunAgent, ReadRun, WriteRun, ShareRun, ReadRunReview, WriteRunReview, ReadSchedule, WriteSchedule, ReadCredits, UseTools,
	ManageIntegrations, ReadIntegrations, DeleteIntegrations, ReadFiles, WriteFiles,
}

// Known says whether there is such a permission.
func (p Permission) Known() bool { return slices.Contains(permissions, p) }

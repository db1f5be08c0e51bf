package isolation

// plan is what the launcher is told through its first extra file, a socket. The other ones are the executable, its folder
// and what Files are.
type plan struct {
	Probe     bool   `json:"probe,omitempty"` // exit when all has been denied
	Path      string `json:"path"`
	Dir       string `json:"dir"`              // the working folder
	Root      bool   `json:"root,omitempty"`   // enter a root of its own
	Script    bool   `json:"script,omitempty"` // executed by its path: its interpreter must open it again
	Landlock  bool   `json:"landlock"`
	Filter    bool   `json:"filter"`
	Network   bool   `json:"network"`
	Relay     bool   `json:"relay,omitempty"`  // send a listener in the namespace back
	Init      bool   `json:"init,omitempty"`   // stay, as the first process of a namespace, and start the plugin from here
	Search    bool   `json:"search,omitempty"` // keep the capability to read and enter whatever Landlock grants
	Files     []File `json:"files"`
	Processes uint64 `json:"processes,omitempty"` // by the limit of the user; 0: control groups do it
	FileSize  uint64 `json:"file_size,omitempty"` // bytes of one file that is written; 0: not bounded
}

// launchVariable makes this program a launcher.
const launchVariable = "PATCHBAY_LAUNCH"

const (
	planFile       = 3
	executableFile = 4
	folderFile     = 5
	grantedFiles   = 6 // the first of them
)

// maxFiles is the number of descriptors that a process may have open.
const maxFiles = 4096

// launchFailed is the exit status of a launcher that could not become its plugin.
const launchFailed = 125

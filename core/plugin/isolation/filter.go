//go:build linux && (amd64 || arm64)

package isolation

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in the kernel's struct seccomp_data.
const (
	offsetNumber       = 0
	offsetArchitecture = 4
	offsetArgument     = 16 // the first one, its lower half on the architectures below
)

// canFilter says that a filter is known for this architecture.
const canFilter = true

// architecture is what the kernel calls this one.
var architecture = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]

// x32 marks the system calls of a second way to call on amd64, which the filter would not know.
const x32 = 0x40000000

// denied are system calls that no plugin has a use for, and that reach into other processes or deep into the kernel.
var denied = []uint32{
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, // sockets past this filter
	// Shared memory, semaphores and queues of System V and of POSIX outlive their process, and no limit of it counts them.
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SHMDT,
	unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_SEMCTL,
	unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL, unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_FSCONFIG, unix.SYS_FSPICK,
	unix.SYS_MOUNT_SETATTR, unix.SYS_STATMOUNT, unix.SYS_LISTMOUNT, unix.SYS_LISTNS, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_REBOOT, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG,
}

// program is the filter. Without the network there are sockets within the process, and those that it listens on: to
// connect to one, though it lies in the file system, would be a way to Postgres or to another plugin.
func program(network bool) []bpf.Instruction {
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	refuse := func(errno uint32) bpf.Instruction {
		return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | errno&unix.SECCOMP_RET_DATA}
	}
	// when runs instructions, which end in a verdict, if the number of the call is this one.
	var filter []bpf.Instruction
	when := func(number uint32, then ...bpf.Instruction) {
		filter = append(filter, bpf.JumpIf{Cond: bpf.JumpEqual, Val: number, SkipFalse: uint8(len(then))})
		filter = append(filter, then...)
	}
	filter = append(filter,
		bpf.LoadAbsolute{Off: offsetArchitecture, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
	)
	if runtime.GOARCH == "amd64" {
		filter = append(filter, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: x32, SkipTrue: 1}, refuse(uint32(unix.ENOSYS)))
	}
	for _, number := range denied {
		when(number, refuse(uint32(unix.EPERM)))
	}
	argument := func(n uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: offsetArgument + 8*n, Size: 4} }
	const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	when(unix.SYS_CLONE, argument(0),
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: namespaces, SkipFalse: 1}, refuse(uint32(unix.EPERM)), allow)
	when(unix.SYS_CLONE3, refuse(uint32(unix.ENOSYS))) // its flags lie in memory; everybody falls back to clone
	if !network {
		const kind = 0xf // without the flags that share the argument
		unixOnly := []bpf.Instruction{
			argument(0), bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 1}, refuse(uint32(unix.EACCES)),
			argument(1), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: kind},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_DGRAM, SkipFalse: 1}, refuse(uint32(unix.EACCES)), allow,
		}
		when(unix.SYS_SOCKET, unixOnly...)
		when(unix.SYS_SOCKETPAIR, unixOnly...)
		when(unix.SYS_CONNECT, refuse(uint32(unix.EACCES)))
	} else { // no families that know nothing of namespaces, such as those that lead out of a virtual machine
		families := []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
		known := []bpf.Instruction{argument(0)}
		for i, family := range families {
			known = append(known, bpf.JumpIf{Cond: bpf.JumpEqual, Val: family, SkipTrue: uint8(len(families) - i)})
		}
		when(unix.SYS_SOCKET, append(known, refuse(uint32(unix.EACCES)), allow)...)
	}
	return append(filter, allow)
}

// filter puts the filter over this thread, which needs to have given up new privileges.
func filter(network bool) error {
	raw, err := bpf.Assemble(program(network))
	if err != nil {
		return fmt.Errorf("assemble the filter of system calls: %w", err)
	}
	instructions := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		instructions[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	p := unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]}
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&p))); errno != 0 {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	return nil
}

// kp-faultfs FOLDER MOUNTPOINT CONTROL: shows FOLDER at MOUNTPOINT, with a disk's faults on demand. What the file CONTROL holds is looked
// at before each write: "" works, "readonly", "full", "broken" (EIO), or "slow 300ms". Reading always works. Ends when it is unmounted.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

var control string

// fault is asked before whatever changes something; adds says that it takes space.
func fault(adds bool) syscall.Errno {
	text, _ := os.ReadFile(control)
	switch mode, rest, _ := strings.Cut(strings.TrimSpace(string(text)), " "); mode {
	case "readonly":
		return syscall.EROFS
	case "full":
		if adds {
			return syscall.ENOSPC
		}
	case "broken":
		return syscall.EIO
	case "slow":
		wait, _ := time.ParseDuration(rest)
		time.Sleep(wait)
	}
	return 0
}

// handle is an open file; without the method by which the kernel would write beside us.
type handle struct {
	fs.FileReader
	fs.FileWriter
	fs.FileFsyncer
	fs.FileFlusher
	fs.FileReleaser
	fs.FileGetattrer
	fs.FileSetattrer
	fs.FileGetlker
	fs.FileSetlker
	fs.FileSetlkwer
	fs.FileLseeker
	fs.FileAllocater
}

type file interface {
	fs.FileReader
	fs.FileWriter
	fs.FileFsyncer
	fs.FileFlusher
	fs.FileReleaser
	fs.FileGetattrer
	fs.FileSetattrer
	fs.FileGetlker
	fs.FileSetlker
	fs.FileSetlkwer
	fs.FileLseeker
	fs.FileAllocater
}

func wrap(f fs.FileHandle) fs.FileHandle {
	h, ok := f.(file)
	if !ok {
		return f
	}
	return &handle{h, h, h, h, h, h, h, h, h, h, h, h}
}

type node struct{ fs.LoopbackNode }

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&(syscall.O_WRONLY|syscall.O_RDWR|syscall.O_TRUNC) != 0 {
		if errno := fault(false); errno == syscall.EROFS {
			return nil, 0, errno
		}
	}
	f, how, errno := n.LoopbackNode.Open(ctx, flags)
	return wrap(f), how, errno
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if errno := fault(true); errno != 0 {
		return nil, nil, 0, errno
	}
	inode, f, how, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, wrap(f), how, errno
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := fault(true); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	if errno := fault(false); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Unlink(ctx, name)
}

func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if errno := fault(false); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Rename(ctx, name, parent, newName, flags)
}

func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if errno := fault(false); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Setattr(ctx, f, in, out)
}

func (n *node) Write(ctx context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := fault(true); errno != 0 {
		return 0, errno
	}
	return f.(fs.FileWriter).Write(ctx, data, off)
}

func (n *node) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if errno := fault(false); errno != 0 && errno != syscall.EROFS {
		return errno
	}
	if s, ok := f.(fs.FileFsyncer); ok {
		return s.Fsync(ctx, flags)
	}
	return 0 // of a folder
}

func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	errno := n.LoopbackNode.Statfs(ctx, out)
	if fault(true) == syscall.ENOSPC {
		out.Bavail, out.Bfree = 0, 0
	}
	return errno
}

func run(folder, mountpoint string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(folder, &st); err != nil {
		return fmt.Errorf("%s: %w", folder, err)
	}
	root := &fs.LoopbackRoot{Path: folder, Dev: uint64(st.Dev)}
	root.NewNode = func(data *fs.LoopbackRoot, _ *fs.Inode, _ string, _ *syscall.Stat_t) fs.InodeEmbedder {
		return &node{fs.LoopbackNode{RootData: data}}
	}
	top := root.NewNode(root, nil, "", &st)
	root.RootNode = top
	server, err := fs.Mount(mountpoint, top, &fs.Options{MountOptions: fuse.MountOptions{
		AllowOther: true, DirectMount: true, DirectMountStrict: true, EnableLocks: true, FsName: "kp-faultfs", Name: "kp-faultfs"}})
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	server.Wait()
	return nil
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: kp-faultfs FOLDER MOUNTPOINT CONTROL")
		os.Exit(2)
	}
	control = os.Args[3]
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "kp-faultfs:", err)
		os.Exit(1)
	}
}

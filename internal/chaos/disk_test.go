package chaos

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFullDisk runs on a small file system of its own, with less and less room on it: a run publishes all or says
// that the disk is full, what was published stays, and once there is room the next run is like any other.
func TestFullDisk(t *testing.T) {
	for _, to := range places[:2] { // those that write to this machine's disk
		t.Run(to.name, func(t *testing.T) {
			w := newWorld(t, servers(t)[0], 8000)
			p := w.project(t, to, nil)
			disk := t.TempDir()
			if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=24m"); err != nil {
				t.Fatalf("a small file system takes root's rights: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(disk, 0); err != nil {
					t.Error(err)
				}
			})
			if err := copyFile(filepath.Join(p.dir, "kitamae.yml"), filepath.Join(disk, "kitamae.yml")); err != nil {
				t.Fatal(err)
			}
			p.dir = disk
			p.run(t)
			full := 0
			for _, room := range []int64{16 << 10, 64 << 10, 200 << 10, 500 << 10, 1 << 20, 3 << 20} {
				ballast := filepath.Join(disk, "ballast")
				fill(t, ballast, disk, room)
				w.advance(t)
				o := finish(p.command(t, "kitamae", "run"))
				switch {
				case o.code == 0:
					w.see(t, p, false)
				case o.code == 4 && strings.Contains(o.output, "disk_full"):
					full++
				default:
					t.Errorf("%d bytes of room: code %d, want 4 and disk_full:\n%s", room, o.code, o.output)
				}
				w.see(t, p, true)
				if got, err := to.read(t.Context(), p.dir, p.config, w.tables(t)); err != nil || len(got) == 0 {
					t.Errorf("%d bytes of room: %v", room, err)
				}
				if err := os.Remove(ballast); err != nil {
					t.Fatal(err)
				}
				p.run(t)
				w.see(t, p, false)
				p.tidy(t)
			}
			if full == 0 {
				t.Error("the disk was never full: the test proves nothing")
			}
		})
	}
}

// fill leaves so many bytes of room on the disk.
func fill(t testing.TB, file, disk string, room int64) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, make([]byte, max(0, int64(st.Bavail)*st.Bsize-room)), 0o600); err != nil {
		t.Fatal(err)
	}
}

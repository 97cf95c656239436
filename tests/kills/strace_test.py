"""What a listing of system calls is taken for. The text is strace's own."""

import os
import sys
import tempfile
import unittest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

# pylint: disable=wrong-import-position
import strace
import tap

LISTING = """\
execve("/b", ["/b"...], 0x7ff /* 3 vars */) = 0
openat(AT_FDCWD</d>, "/lib"..., O_RDONLY|O_CLOEXEC) = 3</lib>
openat(AT_FDCWD</d>, "/d/x"..., O_WRONLY|O_CREAT|O_CLOEXEC, 0644) = 3</d/x>
mkdir("/d"..., 0755)                    = -1 EEXIST (File exists)
write(3</d/x>, ""..., 10)               = 10
write(2</d/log>, ""..., 10)             = 10
write(5<anon_inode:[eventfd]>, ""..., 8) = 8
mkdir("/d/e"..., 0755)                  = 0
sendfile(3</d/x>, 4</d/y>, NULL, 1048576) = 0
sendfile(3</d/x>, 4</d/y>, NULL, 1048576) = 70
clone3({flags=CLONE_VM|CLONE_THREAD, child_tid=0x7f}, 88) = 77
clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88) = 78
prctl(PR_SET_PDEATHSIG, SIGTERM)        = 0
prctl(PR_CAPBSET_READ, CAP_CHOWN)       = 1
fsync(3</d/x>)                          = ?
exit_group(0)                           = ?
"""


class Listings(unittest.TestCase):
    def listing(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".strace", delete=False) as file:
            file.write(text)
        self.addCleanup(os.remove, file.name)
        return file.name

    def points(self, text, **settings):
        points, left_out = strace.points_of("scene", self.listing(text), **settings)
        return [f"{point.call}:{point.number}" for point in points], left_out

    def test_points_are_calls_that_changed_something(self):
        points, left_out = self.points(LISTING, quiet=("/d/log",))
        wanted = "openat:2 write:1 mkdir:2 sendfile:2 clone3:2 prctl:1 exit_group:1"
        self.assertEqual(points, wanted.split())
        self.assertEqual(left_out["write"], 2)
        self.assertEqual(left_out.total() + len(points), len(LISTING.splitlines()))

    def test_waking_a_thread_is_a_change_where_that_thread_sends(self):
        points, _ = self.points(LISTING, quiet=("/d/log",), wakes=True)
        self.assertIn("write:3", points)
        self.assertNotIn("write:2", points)

    def test_at_night_every_call_is_a_point(self):
        points, left_out = self.points(LISTING, every=True)
        self.assertEqual(len(points), len(LISTING.splitlines()))
        self.assertEqual(left_out.total(), 0)

    def test_the_middles_of_a_file_can_be_left_out(self):
        rows = "".join(f'pwrite64(3</d/x>, ""..., 9, {at}) = 9\n' for at in range(9))
        points, _ = self.points(rows + 'unlink("/d/x") = 0\n', middles=False)
        self.assertEqual(points, ["pwrite64:1", "pwrite64:2", "pwrite64:9", "unlink:1"])

    def test_a_point_is_read_as_it_is_written(self):
        for text in ("broker/io:sendto:12", "a:write:3:EIO", "a:openat:1+rename:2"):
            self.assertEqual(str(strace.point_of(text)), text)
        first, again = strace.point_of("a:openat:1+rename:2").tracers("/log")
        self.assertIn("inject=openat:signal=KILL:when=1", first)
        self.assertIn("inject=rename:signal=KILL:when=2", again)
        (failing,) = strace.point_of("a:write:3:EIO").tracers("/log")
        self.assertIn("inject=write:error=EIO:when=3", failing)

    def test_a_log_tells_whether_the_point_was_reached(self):
        log = self.listing('write(3, ""..., 5) = 5\nwrite(3, ""..., 5) = ?\n')
        self.assertTrue(strace.was_reached(log, strace.Point("a", "write", 2)))
        self.assertFalse(strace.was_reached(log, strace.Point("a", "write", 3)))
        self.assertFalse(strace.came_to_its_end(log))
        self.assertTrue(strace.came_to_its_end(self.listing(LISTING)))


if __name__ == "__main__":
    tap.main()

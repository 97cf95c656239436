"""Runs the unittest classes of a file and speaks TAP on stdout, for meson."""

import sys
import traceback
import unittest


class TapResult(unittest.TestResult):
    """One TAP line per test; what went wrong as comments before it."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def line(self, verdict, test, more=""):
        self.number += 1
        name = test.id().split(".", 1)[-1].replace("#", "")
        print(f"{verdict} {self.number} - {name}{more}", flush=True)

    def comment(self, text):
        for row in text.rstrip().splitlines():
            print(f"# {row}", flush=True)

    def addSuccess(self, test):
        self.line("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line("ok", test, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.comment("".join(traceback.format_exception(*err)))
        self.line("not ok", test)

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addFailure(subtest, err)


def main():
    """Arguments: the build folder, then words of the test names to run (all without)."""
    module = sys.modules["__main__"]
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    tests = [test for group in suite for test in group]
    words = sys.argv[2:]
    if words:
        tests = [test for test in tests if any(word in test.id() for word in words)]
    print("TAP version 13", flush=True)
    result = TapResult()
    unittest.TestSuite(tests).run(result)
    print(f"1..{result.number}", flush=True)
    sys.exit(0 if result.wasSuccessful() else 1)

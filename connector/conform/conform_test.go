package conform

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// flawEnv names the flaw the double has: the test below runs this binary again with it.
const flawEnv = "KITAMAE_CONFORM_FLAW"

// TestDouble runs the suite against a double in memory, a correct one unless the environment says otherwise.
func TestDouble(t *testing.T) {
	Run(t, memorySuite(flaw(os.Getenv(flawEnv))))
	Run(t, memorySourceSuite(flaw(os.Getenv(flawEnv))))
}

// TestSuiteCatches wants each flaw to fail the suite, in the test that is meant to see it.
func TestSuiteCatches(t *testing.T) {
	for f, in := range map[flaw]string{
		lostBatch:    "dest/many_batches",
		doubledRows:  "dest/write_twice",
		visibleEarly: "dest/invisible_before_commit",
		swapped:      "dest/column_names",
		nullTurned0:  "dest/every_type",
		keepsEpoch:   "dest/new_epoch",
		keepsBatches: "dest/many_batches",
		dropsOthers:  "dest/other_tables_stay",
		halfCommit:   "dest/atomic",
		blindPut:     "dest/register",

		lostBoundary:    "source/each_row_once",
		sharedBoundary:  "source/each_row_once",
		wrongDecoder:    "source/each_row_once",
		deafRead:        "source/cancelled",
		leakedGoroutine: "source/cancelled",
		resumedRead:     "source/read_again",
		nullsDenied:     "source/each_row_once",
	} {
		t.Run(string(f), func(t *testing.T) {
			part, test, _ := strings.Cut(in, "/")
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDouble$/^"+part+"$/^"+test+"$")
			cmd.Env = append(os.Environ(), flawEnv+"="+string(f))
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("the suite passes")
			}
			if !strings.Contains(string(out), "--- FAIL: TestDouble/"+in) {
				t.Errorf("%s does not fail:\n%s", in, out)
			}
		})
	}
}

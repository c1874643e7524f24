package access

import (
	"fmt"
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

// How many profiles a service may have, so that it can be seen whose go.
const keptPerService = 20

// A new CA signs soon after it was published, so that its rotation can be watched.
var install = []string{"controller.config.certificate-settle=5s", "annotatedPods.enabled=false", "registry.logLevel=debug",
	fmt.Sprintf("registry.config.max-profiles-per-service=%d", keptPerService)}

func TestMain(m *testing.M) { f.Run(m, install...) }

package apiserver

import (
	"testing"

	"kube-pprof.dev/e2e/framework"
)

func TestMain(m *testing.M) { framework.Run(m) }

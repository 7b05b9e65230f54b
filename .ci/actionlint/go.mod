// The program that checks .github/workflows, pinned. There is no Go code here: the `tool` line keeps the command.
// After a change of the version, run `go mod tidy` here.
module developerspace.dev/operator/ci/actionlint

go 1.26.0

tool github.com/rhysd/actionlint/cmd/actionlint

require github.com/rhysd/actionlint v1.7.7

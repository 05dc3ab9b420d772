// Command kstatus reads JSON objects from standard input, one after another,
// and prints for each the status that kstatus computes: what kubectl-side
// tools (Flux, Argo CD through it, `kpt live`) will make of the object.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	for {
		var text json.RawMessage
		if err := decoder.Decode(&text); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		// A JSON null stands for an object that is not there.
		if string(text) == "null" {
			fmt.Fprintln(out, status.NotFoundStatus)
			continue
		}
		var object unstructured.Unstructured
		// Not the standard library's decoding: integers must stay integers.
		if err := object.UnmarshalJSON(text); err != nil {
			return err
		}
		result, err := status.Compute(&object)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, result.Status)
	}
}

// Judges histories of counters by porcupine, a checker of linearizability that others have written. What a counter
// is stands here: adding gives the sum. Reads a line of JSON for each history, and writes one for each verdict.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// One call of a room: when it was made and answered, in ns of one clock.
type call struct {
	Amount int64 `json:"amount"`
	Total  int64 `json:"total"`
	From   int64 `json:"from"`
	To     int64 `json:"to"`
}

type history struct {
	Room  string `json:"room"`
	Calls []call `json:"calls"`
}

type verdict struct {
	Room   string `json:"room"`
	Calls  int    `json:"calls"`
	Result string `json:"result"`
}

const patience = 5 * time.Minute
const lineBytes = 1 << 30

var counter = porcupine.Model{
	Init: func() interface{} { return int64(0) },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		next := state.(int64) + input.(int64)
		return output.(int64) == next, next
	},
}

func judge(one history) verdict {
	operations := make([]porcupine.Operation, len(one.Calls))
	for at, made := range one.Calls {
		operations[at] = porcupine.Operation{Input: made.Amount, Call: made.From, Output: made.Total, Return: made.To}
	}
	result := porcupine.CheckOperationsTimeout(counter, operations, patience)
	return verdict{one.Room, len(one.Calls), string(result)}
}

func run() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineBytes)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var one history
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return err
		}
		if err := out.Encode(judge(one)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("porcupine 1.3.1")
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

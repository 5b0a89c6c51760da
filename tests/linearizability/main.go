// Judges histories of counters by porcupine, a checker of linearizability that others have written. What a counter
// is stands here: adding gives the sum, and each call is the entry behind the one before, as it was told. That makes it
// stricter than it need be, and fast: of calls that overlap only one can be next, where without entries a wrong guess
// among many is found out late. Reads a line of JSON for each history, and writes one for each verdict.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// One call of a room: when it was made and answered, in ns of one clock.
type call struct {
	Amount int64 `json:"amount"`
	Total  int64 `json:"total"`
	Entry  int64 `json:"entry"`
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

// A counter after so many calls.
type standing struct {
	calls int
	total int64
}

var counter = porcupine.Model{
	Init: func() interface{} { return standing{} },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		before := state.(standing)
		next := standing{before.calls + 1, before.total + input.(int64)}
		return output.(standing) == next, next
	},
}

// The place of each call among all, by its entry; two calls of one entry have one place, and so one of them none.
func places(calls []call) map[int64]int {
	entries := make([]int64, len(calls))
	for at, made := range calls {
		entries[at] = made.Entry
	}
	sort.Slice(entries, func(one, other int) bool { return entries[one] < entries[other] })
	found := make(map[int64]int, len(entries))
	for at, entry := range entries {
		found[entry] = at + 1
	}
	return found
}

func judge(one history) verdict {
	operations := make([]porcupine.Operation, len(one.Calls))
	place := places(one.Calls)
	for at, made := range one.Calls {
		output := standing{place[made.Entry], made.Total}
		operations[at] = porcupine.Operation{Input: made.Amount, Call: made.From, Output: output, Return: made.To}
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
		fmt.Println("porcupine 1.3.1, entries")
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

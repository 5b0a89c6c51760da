// Saves and restores one JetStream stream by jsm.go, as `nats stream backup` and `nats stream restore` do: for
// tests that hold our backups to the files of that tool. Not ours to ship.
//
//	stream_tool backup|restore URL STREAM FOLDER
package main

import (
	"context"
	"log"
	"os"

	"github.com/nats-io/jsm.go"
	"github.com/nats-io/nats.go"
)

func main() {
	nc, err := nats.Connect(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	mgr, err := jsm.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	name, dir := os.Args[3], os.Args[4]
	if os.Args[1] == "backup" {
		stream, err := mgr.LoadStream(name)
		if err != nil {
			log.Fatal(err)
		}
		_, err = stream.SnapshotToDirectory(context.Background(), dir)
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	_, _, err = mgr.RestoreSnapshotFromDirectory(context.Background(), name, dir)
	if err != nil {
		log.Fatal(err)
	}
}

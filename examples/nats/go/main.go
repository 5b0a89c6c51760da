// A backend on the NATS of the bus: publishes to a durable room, or follows it without a hole.
//
//	NATS_URL=nats://backend:…@127.0.0.1:4222 ARQON_TOKEN=… go run . publish orders 10
//	NATS_URL=… ARQON_TOKEN=… go run . follow orders 0
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// How often the room is read though nothing rang: a bell may be lost with a connection.
const readEvery = 5 * time.Second

type page struct {
	Messages []struct {
		Offset int64           `json:"offset"`
		Data   json.RawMessage `json:"data"`
	} `json:"messages"`
	More bool `json:"more"`
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// ask asks the bus; what may pass in a moment is asked again.
func ask(nc *nats.Conn, room, verb string, body any) []byte {
	payload, err := json.Marshal(body)
	if err != nil {
		log.Fatal(err)
	}
	for {
		request := nats.NewMsg(fmt.Sprintf("api.t.%s.r.%s.%s", env("ARQON_TENANT", "default"), room, verb))
		request.Header.Set("authorization", "Bearer "+os.Getenv("ARQON_TOKEN"))
		request.Data = payload
		answer, err := nc.RequestMsg(request, 5*time.Second)
		if err == nil {
			code, _ := strconv.Atoi(answer.Header.Get("Nats-Service-Error-Code"))
			if code == 0 {
				return answer.Data
			}
			if code < 500 && code != 408 && code != 429 {
				log.Fatal(code, " ", answer.Header.Get("Nats-Service-Error"))
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// publish repeats a message with the same id: the room takes it once.
func publish(nc *nats.Conn, room string, count int64) {
	run := nuid.Next()
	for n := int64(1); n <= count; n++ {
		ask(nc, room, "publish", map[string]any{
			"type": "order", "data": map[string]any{"n": n}, "message_id": fmt.Sprintf("%s-%d", run, n),
		})
	}
}

// follow takes the live subject as the bell, and the content from the room's log.
func follow(nc *nats.Conn, room string, after int64) {
	bell := make(chan struct{}, 1)
	subject := fmt.Sprintf("in.t.%s.r.%s", env("ARQON_TENANT", "default"), room)
	if _, err := nc.Subscribe(subject, func(*nats.Msg) {
		select {
		case bell <- struct{}{}:
		default:
		}
	}); err != nil {
		log.Fatal(err)
	}
	for {
		for more := true; more; {
			var one page
			if err := json.Unmarshal(ask(nc, room, "history", map[string]any{"after": after, "limit": 100}), &one); err != nil {
				log.Fatal(err)
			}
			for _, message := range one.Messages {
				fmt.Println(message.Offset, string(message.Data))
				after = message.Offset
			}
			more = one.More
		}
		select {
		case <-bell:
		case <-time.After(readEvery):
		}
	}
}

func main() {
	verb, room := os.Args[1], os.Args[2]
	number, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	// Answers to others are none of its business, so its account hears this inbox only.
	inbox := nats.CustomInboxPrefix("_INBOX_BACKEND")
	nc, err := nats.Connect(os.Getenv("NATS_URL"), inbox, nats.MaxReconnects(-1))
	if err != nil {
		log.Fatal(err)
	}
	if verb == "publish" {
		publish(nc, room, number)
	} else {
		follow(nc, room, number)
	}
	if err := nc.Drain(); err != nil {
		log.Fatal(err)
	}
}

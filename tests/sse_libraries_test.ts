/**
 * Server-sent events in Python's `httpx-sse`, which makes an event of each blank line once there was an id, and
 * `sseclient-py`, in Go's `net/http`, which asks for gzip unasked and hands on what a flush ends, and in the shell loop
 * of docs/sse.md with `curl`, over kills of the bus. The readers of `walks/` include npm's `eventsource`.
 */
import assert from "node:assert/strict";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { until } from "../shared/testing/until.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { must, pythonPackages } from "../tasks/checkout/programs.ts";
import { StreamedCommand } from "../tasks/checkout/streamed_command.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { killableEmbedded } from "./kills/killable_embedded.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const PACKAGES = ["httpx==0.28.1", "httpx-sse==0.4.3", "sseclient-py==1.8.0"];
const PYTHON = `
import json, sys
import httpx, httpx_sse, sseclient
library, url, token, last_id = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
headers |= {"Last-Event-ID": last_id} if last_id else {}
with httpx.stream("GET", url, headers=headers, timeout=None) as response:
    if library == "httpx-sse":
        events = httpx_sse.EventSource(response).iter_sse()
    else:
        events = sseclient.SSEClient(response.iter_bytes()).events()
    for event in events:
        read = {"name": event.event, "data": event.data, "id": event.id or ""}
        print(json.dumps(read), flush=True)
`;
const GO = `package main

import ("bufio"; "fmt"; "net/http"; "os")

func main() {
	request, _ := http.NewRequest("GET", os.Args[1], nil)
	request.Header.Set("Authorization", "Bearer "+os.Args[2])
	response, err := http.DefaultClient.Do(request)
	if err != nil { panic(err) }
	fmt.Println("gzip", response.Uncompressed)
	for lines := bufio.NewScanner(response.Body); lines.Scan(); { fmt.Println(lines.Text()) }
}
`;

/** One event of a reader. */
interface Read {
  readonly name: string;
  readonly data: string;
  readonly id: string;
}

/** A reader in Python, which begins behind the event with `last_id`; empty: now. */
async function readInPython(library: string, url: string, token: string, last_id = "") {
  const bin = await pythonPackages("sse_python", PACKAGES);
  const words = [`${bin}/python`, "-c", PYTHON, library, url, token, last_id];
  return StreamedCommand.start(words, { stderr: "inherit" });
}

const eventsOf = (python: StreamedCommand) => python.lines.map((line): Read => JSON.parse(line));

const messagesOf = (python: StreamedCommand) =>
  eventsOf(python).filter(({ name }) => name === "message");

for (const library of ["httpx-sse", "sseclient-py"]) {
  Deno.test(`${library} reads each message once from the last id on, with any text`, async () => {
    await using bus = await startLocalBus(durableRooms("kept*"));
    const peer = new HttpPeer(bus.http_url, bus.token);
    const url = `${bus.http_url}/v1/rooms/kept/events`;
    await using first = await readInPython(library, url, bus.token);
    await until("it is subscribed", () => eventsOf(first).length >= 2);
    const text = "h\u00e9llo \u{1f600}\r\n\u2028data: x";
    for (const data of ["1", "2", `{\n  "text": ${JSON.stringify(text)}\r}`, "4"]) {
      await peer.done("POST", "rooms/kept/messages", `{"type": "t", "data": ${data}}`);
    }
    await until("all messages", () => messagesOf(first).length === 4);
    const [, last, ...rest] = messagesOf(first);
    await using second = await readInPython(library, url, bus.token, last?.id);
    await until("the missed ones", () => messagesOf(second).length === 2);
    assert.deepEqual(messagesOf(second), rest);
    assert.deepEqual(messagesOf(first).map(({ data }) => JSON.parse(data).data), [
      1,
      2,
      { text },
      4,
    ]);
  });
}

Deno.test("a heartbeat is no event for httpx-sse", async () => {
  await using bus = await startLocalBus(`[server]\nheartbeat_ms = 1_000\n${durableRooms("kept*")}`);
  const url = `${bus.http_url}/v1/rooms/kept/events`;
  await using python = await readInPython("httpx-sse", url, bus.token);
  const events = () => eventsOf(python);
  await until("it is subscribed", () => events().length >= 2);
  using beside = await EventReader.open(url, { token: bus.token });
  const peer = new HttpPeer(bus.http_url, bus.token);
  const publish = (data: number) => peer.done("POST", "rooms/kept/messages", { type: "t", data });
  await publish(1);
  void beside.rest().catch(() => {});
  await until("three heartbeats", () => beside.comments >= 3);
  await publish(2);
  await until("both messages", () => events().at(-1)?.data.includes('"data":2') === true);
  const names = events().map(({ name, data }) => `${name} ${data === "" ? "empty" : "full"}`);
  const messages = ["message full", "message full"];
  assert.deepEqual(names, ["welcome full", "subscribed full", ...messages]);
});

Deno.test("Go's net/http gets each event as gzip once it is sent", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/main.go`, GO);
  await must("go", ["build", "-o", "reader", "main.go"], { cwd: folder.path });
  await using bus = await startLocalBus(durableRooms("kept*"));
  const url = `${bus.http_url}/v1/rooms/kept/events`;
  const words = [`${folder.path}/reader`, url, bus.token];
  await using go = StreamedCommand.start(words, { stderr: "inherit" });
  await until("it is subscribed", () => go.lines.includes("event: subscribed"));
  assert.equal(go.lines[0], "gzip true");
  const peer = new HttpPeer(bus.http_url, bus.token);
  for (const size of [1, 2_000]) {
    const data = "x".repeat(size);
    await peer.done("POST", "rooms/kept/messages", { type: "t", data });
    await until(`${size} bytes`, () => go.lines.some((line) => line.includes(`"data":"${data}"`)));
  }
});

const DOCUMENT = new URL("../docs/sse.md", import.meta.url);
const PLACE = "http://127.0.0.1:4000";

/** The shell program of the documentation, for the bus at `url`. */
async function documentedLoop(url: string): Promise<string> {
  const text = await Deno.readTextFile(DOCUMENT);
  const [, program = ""] = /```bash\n(ID=[\s\S]*?)```/.exec(text) ?? [];
  assert.ok(program.includes(PLACE), "docs/sse.md has the loop, with the place of the bus");
  return program.replace(PLACE, url);
}

/** The data of messages that a reader has received, in order. */
const receivedBy = ({ lines }: StreamedCommand): number[] =>
  lines.map((line) => JSON.parse(line)).flatMap(({ op, type, data }) =>
    op === "msg" && type === "t" ? [data] : []
  );

Deno.test("curl reads each message once over kills of the bus", async () => {
  await using bus = await killableEmbedded();
  const { urls: [url = ""], token } = bus;
  const peer = new HttpPeer(url, token);
  const all: number[] = [];
  const publish = async () => {
    for (let count = 0; count < 20; count++) {
      await peer.done("POST", "rooms/orders/messages", { type: "t", data: all.length });
      all.push(all.length);
    }
  };
  const words = ["bash", "-c", await documentedLoop(url)];
  await using shell = StreamedCommand.start(words, { env: { TOKEN: token }, stderr: "inherit" });
  const got = () => receivedBy(shell);
  // A reader with an id continues from there; one without begins with the next message.
  await until("it has begun", async () => {
    await publish();
    return got().length > 0;
  });
  for (let kill = 0; kill < 3; kill++) {
    await publish();
    await bus.killOne(0);
    await publish();
  }
  const last = all.length - 1;
  await until(() => `${last} of ${got().at(-1)}`, () => got().at(-1) === last);
  assert.deepEqual(got(), all.slice(got()[0]));
});

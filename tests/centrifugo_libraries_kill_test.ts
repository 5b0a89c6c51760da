/**
 * Centrifugo's unchanged libraries for JavaScript, Go, Python and Java while their connections are cut and their
 * Shields are killed: each receives the messages of a durable room once, in order. The long form, on three NATS
 * servers, which `deno task test` does not run: `CENTRIFUGO_MESSAGES=30000 CENTRIFUGO_NATS=3 deno test -A
 * --unstable-worker-options --unstable-net tests/centrifugo_libraries_kill_test.ts`.
 */
import assert from "node:assert/strict";
import { Centrifuge } from "centrifuge";
import { connect } from "@arqon/sdk";
import { TextLineStream } from "../bench/measure/text_lines.ts";
import { until } from "../shared/testing/until.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { killableOnNats } from "./kills/killable_bus.ts";
import { HURRY } from "./peers/centrifugo_client.ts";

const MESSAGES = Number(Deno.env.get("CENTRIFUGO_MESSAGES") ?? 1_500);
const SERVERS = Deno.env.get("CENTRIFUGO_NATS") === "3" ? 3 : 1;
const TURNS = 6;
/** Concurrent publications. */
const WINDOW = 50;
const CHANNEL = "orders:1";
const CACHE = new URL("../.arqon/cache/centrifugo_libraries/", import.meta.url).pathname;

const GO = `package main
import ("fmt"; "os"; "time"; centrifuge "github.com/centrifugal/centrifuge-go")
func main() {
  client := centrifuge.NewProtobufClient(os.Args[1], centrifuge.Config{Token: os.Args[2],
    MinReconnectDelay: 10 * time.Millisecond, MaxReconnectDelay: 200 * time.Millisecond,
    MaxServerPingDelay: time.Minute})
  sub, err := client.NewSubscription(os.Args[3])
  if err != nil { panic(err) }
  sub.OnSubscribed(func(e centrifuge.SubscribedEvent) { fmt.Println("in", e.Recovered) })
  sub.OnPublication(func(e centrifuge.PublicationEvent) { fmt.Println(string(e.Data), e.Offset) })
  if err := client.Connect(); err != nil { panic(err) }
  if err := sub.Subscribe(); err != nil { panic(err) }
  select {}
}
`;
const PYTHON = `
import asyncio, sys
from centrifuge import Client, SubscriptionEventHandler
class Handler(SubscriptionEventHandler):
    async def on_subscribed(self, ctx): print("in", ctx.recovered, flush=True)
    async def on_publication(self, ctx): print(ctx.pub.data, ctx.pub.offset, flush=True)
async def main(url, token, channel):
    client = Client(url, token=token, min_reconnect_delay=0.01, max_reconnect_delay=0.2,
        max_server_ping_delay=60)
    sub = client.new_subscription(channel, events=Handler(), max_resubscribe_delay=0.2)
    await client.connect()
    await sub.subscribe()
    await asyncio.Event().wait()
asyncio.run(main(*sys.argv[1:]))
`;
const JAVA = `
import io.github.centrifugal.centrifuge.*;
public class Reader {
  public static void main(String[] args) throws Exception {
    Options options = new Options();
    options.setToken(args[1]);
    options.setMinReconnectDelay(10);
    options.setMaxReconnectDelay(200);
    options.setMaxServerPingDelay(60000);
    Client client = new Client(args[0], options, new EventListener() {});
    client.newSubscription(args[2], new SubscriptionEventListener() {
      public void onSubscribed(Subscription sub, SubscribedEvent e) {
        System.out.println("in " + e.getRecovered());
      }
      public void onPublication(Subscription sub, PublicationEvent e) {
        System.out.println(new String(e.getData()) + " " + e.getOffset());
      }
    }).subscribe();
    client.connect();
    Thread.currentThread().join();
  }
}
`;
const POM = `<project><modelVersion>4.0.0</modelVersion>
<groupId>reader</groupId><artifactId>reader</artifactId><version>1</version>
<dependencies><dependency><groupId>io.github.centrifugal</groupId>
<artifactId>centrifuge-java</artifactId><version>0.4.1</version></dependency></dependencies></project>
`;

async function must(program: string, ...args: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd: CACHE })
    .output();
  const text = new TextDecoder();
  assert.ok(success, `${program} ${args}: ${text.decode(stdout)}${text.decode(stderr)}`);
}

/** Builds the readers, each a program that takes the address, a token and a channel. */
async function buildReaders(): Promise<ReadonlyMap<string, readonly string[]>> {
  await Deno.mkdir(`${CACHE}go`, { recursive: true });
  for (const [file, text] of [["go/main.go", GO], ["Reader.java", JAVA], ["pom.xml", POM]]) {
    await Deno.writeTextFile(`${CACHE}${file}`, text!);
  }
  await Deno.writeTextFile(`${CACHE}go/go.mod`, "module reader\n\ngo 1.26.0\n");
  await must("go", "-C", "go", "get", "github.com/centrifugal/centrifuge-go@v0.12.1");
  await must("go", "-C", "go", "build", "-o", `${CACHE}reader`, ".");
  await must("python3", "-m", "venv", "python");
  await must("python/bin/pip", "install", "--quiet", "centrifuge-python==0.7.0");
  await must("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=java");
  return new Map([
    ["Go", [`${CACHE}reader`]],
    ["Python", [`${CACHE}python/bin/python`, "-c", PYTHON]],
    ["Java", ["java", "-Xmx256m", "-cp", `${CACHE}java/*`, `${CACHE}Reader.java`]],
  ]);
}

/** The messages that a library has received. */
class Reader {
  readonly name: string;
  readonly received: number[] = [];
  offset = 0;
  /** Whether each subscribe after the first recovered. */
  readonly recovered: boolean[] = [];

  constructor(name: string) {
    this.name = name;
  }

  publication(n: number, offset: number): void {
    assert.ok(offset > this.offset, `${this.name}: offset ${offset} after ${this.offset}`);
    this.offset = offset;
    this.received.push(n);
  }

  async read(lines: ReadableStream<string>): Promise<void> {
    for await (const line of lines) {
      const [, n, offset] = /(\d+)\D+(\d+)$/.exec(line) ?? [];
      if (offset === undefined) this.recovered.push(/true/i.test(line));
      else this.publication(Number(n), Number(offset));
    }
  }
}

function start(reader: Reader, [program, ...args]: readonly string[]) {
  const child = new Deno.Command(program!, { args, stdout: "piped" }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  const ended = reader.read(lines);
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
      await ended;
    },
  };
}

function startJavaScript(reader: Reader, url: string, token: string) {
  const client = new Centrifuge(url, { token, ...HURRY });
  const sub = client.newSubscription(CHANNEL);
  sub.on("publication", ({ data, offset = 0 }) => reader.publication(data.n, offset));
  sub.on("subscribed", ({ recovered }) => void reader.recovered.push(recovered));
  sub.subscribe();
  client.connect();
  return { [Symbol.asyncDispose]: () => Promise.resolve(client.disconnect()) };
}

Deno.test("each of Centrifugo's libraries receives each message once over cuts and kills", async () => {
  const programs = await buildReaders();
  await using bus = await killableOnNats("[centrifugo]\nenabled = true", "", SERVERS);
  await using open = new AsyncDisposableStack();
  const { token, urls } = bus;
  const proxies = ["JavaScript", ...programs.keys()].map((name, at) => {
    const proxy = open.use(startTcpProxy(Number(new URL(urls[at % urls.length]!).port)));
    return { name, proxy, url: `ws://127.0.0.1:${proxy.port}/connection/websocket` };
  });
  const readers = proxies.map(({ name, url }) => {
    const reader = new Reader(name);
    const program = programs.get(name);
    open.use(
      program === undefined
        ? startJavaScript(reader, url, token)
        : start(reader, [...program, url, token, CHANNEL]),
    );
    return reader;
  });
  const unready = () => readers.filter(({ recovered }) => recovered.length === 0);
  await until(() => `in: ${unready().map(({ name }) => name)}`, () => unready().length === 0);
  await using publisher = await connect({ url: urls[0]!, token });
  const room = publisher.room(CHANNEL);
  let sent = 0;
  const publishTo = async (end: number) => {
    while (sent < end) {
      const n = sent++;
      await room.publish("publication", { n }, { message_id: `m-${n}`, timeout_ms: 60_000 });
    }
  };
  const part = MESSAGES / TURNS;
  for (let turn = 0; turn < TURNS; turn++) {
    const publishing = Array.from({ length: WINDOW }, () => publishTo((turn + 1) * part));
    await until("some are published", () => sent > (turn + 0.25) * part);
    if (turn % 2 === 0) {
      const before = readers.map(({ recovered }) => recovered.length);
      await Promise.all(proxies.map(({ proxy }) => proxy.cut()));
      for (const { proxy } of proxies) proxy.restore();
      const away = () => readers.filter(({ recovered }, at) => recovered.length === before[at]);
      await until(() => `back: ${away().map(({ name }) => name)}`, () => away().length === 0);
    } else await bus.killOne((turn - 1) / 2);
    await Promise.all(publishing);
  }
  for (const { name, received, recovered } of readers) {
    await until(() => `all in ${name}: ${received.length}`, () => received.length >= MESSAGES);
    assert.equal(new Set(received).size, MESSAGES, `${name} has some twice`);
    assert.equal(received.length, MESSAGES, name);
    assert.deepEqual(new Set(recovered.slice(1)), new Set([true]), name);
  }
});

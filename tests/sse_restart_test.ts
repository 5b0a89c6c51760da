/**
 * Server-sent events from a bus that is killed and restarted on its port: the shell loop of docs/sse.md with `curl`.
 * The readers of `walks/` include npm's `eventsource`.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { StreamedCommand } from "../tasks/checkout/streamed_command.ts";
import { killableEmbedded } from "./kills/killable_embedded.ts";
import { HttpPeer } from "./peers/http_peer.ts";

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

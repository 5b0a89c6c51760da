/**
 * A backup is restored while clients of Pusher's protocol are connected, with `pusher-js` and `pusher` unchanged: what
 * they receive, and what they miss, since that protocol has no positions.
 */
import assert from "node:assert/strict";
import Backend from "pusher";
import pusher_js from "pusher-js";
import { runArq, succeeds } from "../arq/testing/run_arq.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { until } from "../shared/testing/until.ts";
import { freePort } from "./harness/free_ports.ts";
import { initFolder, startServe, tokenOf } from "./harness/serve_bus.ts";
import { secretFile } from "../shared/config/testing/secret_file.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

// A CommonJS module: its types declare `default`, but it is the class itself.
const Pusher = pusher_js as unknown as typeof pusher_js.default;
type Pusher = InstanceType<typeof Pusher>;

const APP = { appId: "1001", key: "key-1", secret: "a secret of the app" };
// The types require `id`, the protocol requires `user_id`.
const MEMBER = { id: "ann", user_id: "ann" };
const CONFIG = `
[pusher]
[[pusher.apps]]
id = "${APP.appId}"
key = "${APP.key}"
secret_file = "${secretFile(APP.secret)}"
tenant = "default"
${durableRooms("pusher:*")}
`;

type ReceivedEvent = [channel: string, event: string, data: unknown];

/** Joins those channels; returns everything that it receives from then on. */
function listen(client: Pusher, names: readonly string[]): ReceivedEvent[] {
  const received: ReceivedEvent[] = [];
  for (const name of names) {
    client.subscribe(name).bind_global((event: string, data: unknown) =>
      received.push([name, event, data])
    );
  }
  return received;
}

Deno.test("a backup is restored under Pusher clients: they reconnect, receive new messages, and no gap is reported", async () => {
  const port = freePort();
  await using folder = await initFolder(CONFIG, port);
  const backend = new Backend({ ...APP, host: "127.0.0.1", port: String(port), useTLS: false });
  const client = new Pusher(APP.key, {
    wsHost: "127.0.0.1",
    wsPort: port,
    forceTLS: false,
    cluster: "none",
    disableStats: true,
    enabledTransports: ["ws"],
    channelAuthorization: {
      transport: "ajax",
      endpoint: "",
      customHandler: ({ socketId, channelName }, done) =>
        void Promise.resolve(backend.authorizeChannel(socketId, channelName, MEMBER))
          .then((word) => done(null, word)),
    },
  });
  await using _end = atEnd(() => client.disconnect());
  const run = (...args: string[]) => runArq(args, { cwd: folder.path });
  const user = ["--token", await tokenOf(folder.path, "user")];
  const received = listen(client, ["orders", "presence-room"]);
  const has = (name: string, event: string, times = 1) =>
    until(
      () => `${event} on ${name}: ${JSON.stringify(received)}`,
      () => received.filter(([one, what]) => one === name && what === event).length === times,
    );
  const kept = async (url: string) => {
    const args = ["room", "history", "pusher:orders", "--all", "--json", "--url", url, ...user];
    const lines = succeeds(await run(...args)).trim().split("\n");
    return lines.map((line) => JSON.parse(line).type);
  };
  {
    await using bus = await startServe(folder.path);
    await has("orders", "pusher:subscription_succeeded");
    await has("presence-room", "pusher:subscription_succeeded");
    await backend.trigger("orders", "before", { n: 1 });
    await has("orders", "before");
    const admin = ["--admin-url", bus.admin_url, "--token", await tokenOf(folder.path, "admin")];
    succeeds(await run("backup", `${folder.path}/bus.tar`, ...admin));
    await backend.trigger("orders", "lost", { n: 2 });
    await has("orders", "lost");
    assert.deepEqual(await kept(bus.url), ["before", "lost"]);
  }
  succeeds(await run("restore", `${folder.path}/bus.tar`, "--force"));
  await using bus = await startServe(folder.path);
  await has("orders", "pusher:subscription_succeeded", 2);
  await has("presence-room", "pusher:subscription_succeeded", 2);
  await backend.trigger("orders", "after", { n: 3 });
  await has("orders", "after");
  const news = received.filter(([, event]) => !event.startsWith("pusher:"));
  assert.deepEqual(news, [
    ["orders", "before", { n: 1 }],
    ["orders", "lost", { n: 2 }],
    ["orders", "after", { n: 3 }],
  ]);
  assert.deepEqual(await kept(bus.url), ["before", "after"]);
});

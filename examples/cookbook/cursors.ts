/** Cursors: the position of each member's pointer. Each input line "X Y" is a move; in a page, use pointer events. */
import process from "node:process";
import { createInterface } from "node:readline";
import { createClient } from "@arqon/sdk/stores";

const [url = "", token = "", room = "board"] = process.argv.slice(2);
const client = createClient({ url, token });
const { presence } = client.room(room);

// Sent at most every 50 ms, always the newest place.
presence.begin({ initial: { x: 0, y: 0 }, throttle_ms: 50 });
presence.subscribe(({ others }) => {
  for (const { user_id, meta } of others) console.log(user_id, JSON.stringify(meta));
});

for await (const line of createInterface({ input: process.stdin })) {
  const [x = 0, y = 0] = line.split(" ").map(Number);
  presence.update({ x, y });
}
process.exit(0);

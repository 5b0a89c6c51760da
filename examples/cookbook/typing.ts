/** Typing: shows "ann is typing" until a pause of three seconds. Each input line is a key press. */
import process from "node:process";
import { createInterface } from "node:readline";
import { connect } from "@arqon/sdk";

const PAUSE_MS = 3_000;
const [url = "", token = "", room_id = "lobby"] = process.argv.slice(2);
const bus = await connect({ url, token });
const room = bus.room(room_id).subscribe({ presence: true, member_meta: { typing: false } });
await room.ready;

async function show(): Promise<void> {
  for await (const { joined, updated, left } of room.presence.changes()) {
    for (const { user_id, meta } of [...joined, ...updated]) {
      const { typing } = Object(meta) as { typing?: unknown };
      console.log(user_id, typing === true ? "is typing" : "is not typing");
    }
    for (const { user_id } of left) console.log(user_id, "has left");
  }
}
void show();

let is_typing = false;
let pause: ReturnType<typeof setTimeout> | undefined;

// Sent when typing begins and ends, not at each key.
function say(typing: boolean): void {
  if (typing !== is_typing) void room.update({ typing });
  is_typing = typing;
}

for await (const _key of createInterface({ input: process.stdin })) {
  clearTimeout(pause);
  pause = setTimeout(() => say(false), PAUSE_MS);
  say(true);
}
process.exit(0);

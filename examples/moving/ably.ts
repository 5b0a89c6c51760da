/** The code of docs/moving_ably.md as one program. Arguments: URL TOKEN. It runs until it is stopped. */
import process from "node:process";
import { connect } from "@arqon/sdk";
import { history, replay } from "@arqon/sdk/history";

const [url = "", token = ""] = process.argv.slice(2);
const getToken = () => token;

// #region connect
const bus = await connect({ url, getToken });
// #endregion

// #region publish
const room = bus.room("durable-headlines");
const { offset } = await room.publish("headline", { text: "rain" }, { message_id: "h-1" });
// #endregion
await room.publish("headline", { text: "rain" }, { message_id: "h-1" });
console.log((await history(room)).messages.length, offset !== 0);

// #region rewind
const listener = room.listen((message) => {
  if (message.type === "headline") console.log(message.json());
}, { begin: replay({ last: 10 }) });
await listener.ready;
// #endregion

// #region filter
const sports = bus.room("durable-sports").subscribe({ filter: 'headers["section"] == "chess"' });
// #endregion
await sports.ready;
sports.close();

// #region presence
const lobby = bus.room("stage").subscribe({ presence: true, member_meta: { status: "here" } });
await lobby.ready;
await lobby.update({ status: "away" });
for await (const { joined, updated, left } of lobby.presence.changes()) {
  console.log(joined.length, updated.length, left.length);
  break;
}
// #endregion

// #region occupancy
const { connections, users } = await bus.room("stage").count();
// #endregion
console.log(connections, users);
lobby.close();

// #region history
const page = await history(room, { reverse: true, limit: 100 });
for (const message of page.messages) console.log(message.sender, message.json());
// #endregion

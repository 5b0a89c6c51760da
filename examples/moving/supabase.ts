/** The code of docs/moving_supabase.md as one program. Arguments: URL TOKEN. It runs until it is stopped. */
import process from "node:process";
import { connect } from "@arqon/sdk";
import { replay } from "@arqon/sdk/history";

const [url = "", token = ""] = process.argv.slice(2);
const getToken = () => token;

// #region connect
const bus = await connect({ url, getToken });
// #endregion

// #region broadcast
const room = bus.room("room-1");
const listener = room.listen((message) => {
  if (message.type === "cursor") console.log(message.json());
});
await listener.ready;
await room.publish("cursor", { x: 1, y: 2 });
// #endregion

// #region presence
const online = bus.room("online").subscribe({ presence: true, member_meta: { page: "home" } });
await online.ready;
for (const { user_id, meta } of online.presence.members.values()) console.log(user_id, meta);
await online.update({ page: "cart" });
// #endregion

// #region changes
const rows = bus.room("durable-todos-7").listen((message) => {
  console.log(message.type, message.json()); // the change of your transaction, after its commit
}, { begin: replay({ since: "10m" }) });
await rows.ready;
// #endregion
await bus.room("durable-todos-7").publish("added", { id: 1 });

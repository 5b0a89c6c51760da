/** The code of docs/moving_pusher.md as one program. Arguments: URL TOKEN. It runs until it is stopped. */
import process from "node:process";
import { connect } from "@arqon/sdk";

const [url = "", token = ""] = process.argv.slice(2);
const http_url = new URL(url).origin.replace(/^ws/, "http");
const getToken = () => token;

// #region connect
const bus = await connect({ url, getToken });
// #endregion

// #region listen
const orders = bus.room("durable-orders");
const listener = orders.listen((message) => {
  if (message.type === "shipped") console.log(message.json());
});
await listener.ready;
// #endregion

// #region client
await orders.publish("shipped", { id: 1 });
// #endregion

// #region presence
const lobby = bus.room("lobby").subscribe({ presence: true, member_meta: { name: "Ann" } });
await lobby.ready;
for (const { user_id, meta } of lobby.presence.members.values()) console.log(user_id, meta);
// #endregion
lobby.close();

// #region trigger
await fetch(`${http_url}/v1/rooms/durable-orders/messages`, {
  method: "POST",
  headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
  body: JSON.stringify({ type: "shipped", data: { id: 2 } }),
});
// #endregion

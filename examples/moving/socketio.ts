/** The code of docs/moving_socketio.md as one program. Arguments: URL TOKEN. It runs until it is stopped. */
import process from "node:process";
import { connect } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { history } from "@arqon/sdk/history";

const [url = "", token = ""] = process.argv.slice(2);
const http_url = new URL(url).origin.replace(/^ws/, "http");
const getToken = () => token;

// #region connect
const bus = await connect({
  url,
  getToken, // called again before the token expires
  onStatus: ({ state }) => console.log(state), // open, waiting, closed
});
// #endregion

// #region listen
const room = bus.room("durable-chat-1");
const listener = room.listen((message) => {
  if (message.type === "chat") console.log(message.sender, message.json());
});
await listener.ready;
// #endregion

// #region send
await room.publish("chat", { text: "hello" }); // resolves when the bus has it
// #endregion

// #region volatile
await room.publish("move", { x: 1, y: 2 }, { ack: false });
// #endregion

// #region state
const state = roomState(room);
const { version } = await state.set("topic", "tea");
const { value } = await state.get("topic", { after_version: version });
// #endregion
console.log(value);

// #region backend
await fetch(`${http_url}/v1/rooms/durable-chat-1/messages`, {
  method: "POST",
  headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
  body: JSON.stringify({ type: "chat", data: { text: "from a backend" } }),
});
// #endregion

// #region history
const { messages } = await history(room, { reverse: true, limit: 1 });
// #endregion
console.log(messages[0]?.json());

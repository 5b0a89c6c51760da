/** The code of docs/moving_centrifugo.md as one program. Arguments: URL TOKEN. It runs until it is stopped. */
import process from "node:process";
import { connect } from "@arqon/sdk";
import { history, replay } from "@arqon/sdk/history";

const [url = "", token = ""] = process.argv.slice(2);
const http_url = new URL(url).origin.replace(/^ws/, "http");
const getToken = () => token;

// #region connect
const bus = await connect({ url, getToken });
// #endregion

// #region listen
const news = bus.room("durable-news");
const messages = news.subscribe({ begin: replay({ last: 10 }) });
await messages.ready;
console.log(messages.epoch !== "");
// #endregion

// #region publish
await news.publish("post", { text: "hello" });
for await (const message of messages) {
  if (message.signal !== undefined) console.log("something is missing here");
  else console.log(message.offset !== 0, message.json());
  break;
}
// #endregion

// #region presence
const { connections, users } = await bus.room("hall").count();
for await (const { user_id } of bus.room("hall").members()) console.log(user_id);
// #endregion
console.log(connections, users);

// #region history
const page = await history(news, { limit: 10 });
console.log(page.messages.length, page.more);
// #endregion

// #region api
const answer = await fetch(`${http_url}/v1/rooms/durable-news/messages`, {
  method: "POST",
  headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
  body: JSON.stringify({ type: "post", data: { text: "from a backend" } }),
});
// #endregion
console.log(answer.status);

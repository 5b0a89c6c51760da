/** Late join: a client that joins later gets the last twenty messages, and then the new ones. */
import process from "node:process";
import { connect } from "@arqon/sdk";
import { replay } from "@arqon/sdk/history";

const [url = "", token = "", room = "durable-plans"] = process.argv.slice(2);
const bus = await connect({ url, token });

for await (const message of bus.room(room).subscribe({ begin: replay({ last: 20 }) })) {
  if (message.signal !== undefined) console.log(`* missing here: ${message.signal.reason}`);
  else console.log(`${message.sender}> ${message.text()}`);
}

/**
 * `deno task example:chat [PORT]`: starts a development bus and the model, and serves the page with the bus's address
 * and a token. For trying it only: everybody who can open the page gets the token.
 */
import { connect } from "@arqon/sdk";
import { bundlePage, servePage, startBus } from "../example_page.ts";
import { answerQuestions } from "./model.ts";

const folder = new URL(".", import.meta.url).href;
const script = await bundlePage(folder);
const place = await startBus();
const bus = await connect(place);
answerQuestions(bus.room("durable-chat")).catch((error) => console.error(error));
await servePage(folder, script, place);

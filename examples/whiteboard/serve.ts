/**
 * `deno task example:whiteboard [PORT]`: starts a development bus, and serves the page with its address and a token.
 * For trying it only: everybody who can open the page gets the token.
 */
import { bundlePage, servePage, startBus } from "../example_page.ts";

const folder = new URL(".", import.meta.url).href;
const script = await bundlePage(folder);
await servePage(folder, script, await startBus());

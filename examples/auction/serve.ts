/**
 * `deno task example:auction [PORT]`: starts a development bus with the room's program. It serves the page with the
 * bus's address and a token for the name that the user enters. For trying it only: everybody who can open the page gets
 * one.
 */
import { bundlePage, servePage, startBus, tokensOf } from "../example_page.ts";

const folder = new URL(".", import.meta.url).href;
const script = await bundlePage(folder, "main.ts");
const bus = await startBus(new URL("bus.toml", folder));
const file = new URL("../../policies/build/reducers/sale.wasm", import.meta.url);
const files = { "/sale.wasm": ["application/wasm", await Deno.readFile(file)] } as const;
await servePage(folder, script, bus, { tokenOf: await tokensOf(bus), files });

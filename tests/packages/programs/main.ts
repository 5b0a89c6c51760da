/**
 * The tour as a program of Node, Bun or Deno: `main.ts URL TOKEN NAME`, after checking the entry that needs another
 * package. It does not exit, so it ends only if the SDK leaves nothing behind that keeps a program alive.
 */
import process from "node:process";
import { protobufCodec } from "@arqon/sdk/protobuf";
import { timestampFromMs, timestampMs, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { tour } from "./tour.ts";

const codec = protobufCodec(TimestampSchema);
const again = timestampMs(await codec.decode(codec.encode(timestampFromMs(1_500))));
if (again !== 1_500) throw new Error(`the codec makes 1,500 ms ${again} ms`);

const [url = "", token = "", name = ""] = process.argv.slice(2);
console.log(JSON.stringify(await tour(url, token, name)));

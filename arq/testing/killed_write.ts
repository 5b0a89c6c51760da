/** A process that is killed in the middle of a write: `killed_write.ts write|create FILE`. The kernel ends it. */
import { diskFiles } from "../terminal/disk_files.ts";

const [how, path = ""] = Deno.args;
const args = ["--pid", String(Deno.pid), "--fsize=65536:65536"];
await new Deno.Command("prlimit", { args }).output();
await diskFiles[how === "create" ? "create" : "write"](path, new Uint8Array(1_048_576), 0o644);

/** A customer of a plan, as a folder for `arq apply`: customer.ts NAME PLAN FOLDER. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import process from "node:process";

const [name = "", plan = "", folder = ""] = process.argv.slice(2);
if (!/^[a-z][a-z0-9-]{0,40}$/.test(name) || !/^[a-z]+$/.test(plan) || folder === "") {
  console.error("usage: customer.ts NAME PLAN FOLDER; a name is of a-z, 0-9 and -");
  process.exit(2);
}
const text = await readFile(new URL(`plans/${plan}.toml`, import.meta.url), "utf8");
await mkdir(`${folder}/${name}`, { recursive: true });
await writeFile(`${folder}/${name}/tenant.toml`, `tenant = "${name}"\n\n${text}`);
console.log(`arq apply ${folder}/${name}`);

/** A Python with the SDK's dependencies, which runs the SDK of a tree in place. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const VENV = `${ROOT}.arqon/sdk_python`;

async function must(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, cwd: ROOT }).output();
  assert.ok(success, `${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Its path; set `PYTHONPATH` to `sdk/python/src` of the tree. */
export async function pythonWithSdk(): Promise<string> {
  await must("python3", "-m", "venv", VENV);
  const packages = ["protobuf>=6.31.1,<8", "websockets>=15,<18"];
  await must(`${VENV}/bin/pip`, "install", "--quiet", ...packages);
  return `${VENV}/bin/python`;
}

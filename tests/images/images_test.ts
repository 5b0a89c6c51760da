/** The errors of `deno task images` on a machine that cannot build. Building requires buildah and root. */
import assert from "node:assert/strict";
import { runDeno } from "../../tasks/checkout/programs.ts";

Deno.test("deno task images reports what a machine lacks and how to install it, and builds nothing", async () => {
  const args = ["run", "--quiet", "--allow-all", "tests/images/main.ts"];
  const { code, stdout: output } = await runDeno(args, { env: { PATH: "/nowhere" } });
  assert.equal(code, 3, output);
  if (Deno.build.os !== "linux") return assert.match(output, /^- Linux: /m);
  for (const [program, name] of [["buildah", "buildah"], ["ip", "iproute2"], ["node", "nodejs"]]) {
    assert.match(output, new RegExp(`^- ${program} is not there: apt-get install ${name}$`, "m"));
  }
  assert.equal(/^- root /m.test(output), Deno.uid() !== 0);
});

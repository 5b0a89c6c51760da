/** Installs npm packages of the peers once, below `.arqon/cache`. */
import { installed, lastLine, run } from "../../tasks/checkout/programs.ts";
import { TargetUnavailable } from "../load/targets/target.ts";

const HINT = "it needs Node 18 or newer with npm (Debian: apt-get install nodejs npm)";

/** The path `.arqon/cache/NAME` with an npm package, which the first call installs. */
export function installedFromNpm(pinned: string, name: string): Promise<string> {
  return installed(name, async (folder) => {
    const options = [`--prefix=${folder}`, "--no-audit", "--no-fund", "--ignore-scripts"];
    const ran = await run("npm", ["install", ...options, pinned]);
    if (ran === undefined) throw new TargetUnavailable(`npm is not there: ${HINT}`);
    if (ran.ok) return folder;
    throw new TargetUnavailable(`npm install ${pinned} failed (${lastLine(ran.text)}): ${HINT}`);
  });
}

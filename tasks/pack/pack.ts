/**
 * `deno task pack [FOLDER]`: packs `arqon`, `@arqon/proto`, `@arqon/sdk`, `@arqon/react` and `@arqon/yjs`
 * as npm packages, compiled by TypeScript, into `dist/npm/` or the given folder. It publishes nothing.
 */
import { packArqon } from "./pack_arqon.ts";
import { compile } from "./pack_compile.ts";
import {
  entriesOf,
  type MemberConfig,
  type Needs,
  npmReadme,
  packageJson,
  packageOf,
} from "./pack_manifest.ts";
import { packTarball, type Tarball } from "./pack_tarball.ts";
import { ROOT } from "../checkout/source_files.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

/** Folders of the members that become packages, each after its dependencies. */
export const MEMBERS = ["proto", "sdk/typescript", "sdk/react", "sdk/yjs"];

/** The packages whose types members import, and their own type dependencies. */
const TYPED = /^(?:@bufbuild\/protobuf\b|yjs$|y-protocols\/|lib0\/)/;

/** Required peers of a package, with the tested versions. */
const REQUIRED: Readonly<Record<string, string>> = {
  react: ">=18",
  yjs: "^13.6.33",
  "y-protocols": "^1.0.7",
};

/** The versions of packages in the workspace's `deno.json`. */
const { imports: PINNED } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
  readonly imports: Readonly<Record<string, string>>;
};

/** A package that is compiled and ready to be packed. */
interface Staged {
  readonly folder: string;
  readonly config: MemberConfig;
  readonly needs: Needs;
}

/** Paths of the types of all possible imports of a member: staged members, and packages. */
function typesOf(staged: readonly Staged[]): Record<string, string> {
  const ours = staged.flatMap(({ folder, config }) =>
    entriesOf(config).map(([subpath, source]): [string, string] => [
      subpath === "." ? config.name : config.name + subpath.slice(1),
      `${folder}/${source.slice(2, -".ts".length)}.d.ts`,
    ])
  );
  const packages = Object.keys(PINNED).filter((name) => TYPED.test(name))
    .map((name): [string, string] => {
      const path = decodeURIComponent(new URL(import.meta.resolve(name)).pathname);
      return [name, path.replace(/\.js$/, ".d.ts").replace(/\/yjs\.[cm]js$/, "/src/index.d.ts")];
    });
  const declared = [["react", "@types/react"], ["csstype", "csstype"]].map(([name, types]) => {
    const { pathname } = new URL("index.d.ts", import.meta.resolve(`${types}/package.json`));
    return [name, decodeURIComponent(pathname)];
  });
  return Object.fromEntries([...ours, ...packages, ...declared]);
}

/**
 * The packages that `imports` need. Our own are required in the same version; every other one is a peer, which the
 * program provides.
 */
function needsOf(imports: readonly string[], staged: readonly Staged[]): Needs {
  const ours = new Map(staged.map(({ config }) => [config.name, config.version]));
  const dependencies: Record<string, string> = {};
  const peerDependencies: Record<string, string> = {};
  for (const name of imports.map(packageOf)) {
    const version = ours.get(name);
    if (version !== undefined) {
      dependencies[name] = version;
      continue;
    }
    const pinned = PINNED[name]?.match(/@(\d[^@/]*)$/)?.[1];
    if (pinned === undefined && REQUIRED[name] === undefined) {
      throw new Error(`deno.json's imports do not say which ${name}`);
    }
    peerDependencies[name] = REQUIRED[name] ?? `^${pinned}`;
  }
  return { dependencies, peerDependencies, required: Object.keys(REQUIRED) };
}

async function stage(member: string, folder: string, before: readonly Staged[]): Promise<Staged> {
  const source_dir = `${ROOT}${member}`;
  const config = JSON.parse(await Deno.readTextFile(`${source_dir}/deno.json`)) as MemberConfig;
  const entries = entriesOf(config).map(([, source]) => source.slice(2));
  const { imports } = compile({ source_dir, entries, out_dir: folder, types: typesOf(before) });
  const needs = needsOf(imports, before);
  const manifest = packageJson(config, member, needs);
  await Deno.writeTextFile(`${folder}/package.json`, `${JSON.stringify(manifest, null, 2)}\n`);
  const readme = await Deno.readTextFile(`${source_dir}/README.md`);
  await Deno.writeTextFile(`${folder}/README.md`, npmReadme(readme, member));
  await Deno.copyFile(`${ROOT}LICENSE`, `${folder}/LICENSE`);
  return { folder, config, needs };
}

/**
 * Packs every member into `out_dir`, which is created if it is missing. Tarballs of the same version are replaced.
 * Throws an Error with the reason if a package cannot be published as it is.
 */
export async function pack(out_dir: string): Promise<Tarball[]> {
  await Deno.mkdir(out_dir, { recursive: true });
  await using temporary = await temporaryFolder();
  const folder = temporary.path;
  const staged: Staged[] = [];
  for (const member of MEMBERS) {
    staged.push(await stage(member, `${folder}/${member.replaceAll("/", "_")}`, staged));
  }
  return await Promise.all(staged.map((one) => packTarball(one.folder, out_dir)));
}

if (import.meta.main) {
  const [out_dir = `${ROOT}dist/npm`] = Deno.args;
  const packed = [...await pack(out_dir), await packArqon(out_dir)];
  for (const { path, size_bytes, unpacked_bytes, files } of packed) {
    const [small, unpacked] = [size_bytes, unpacked_bytes].map((n) => (n / 1_000).toFixed(1));
    console.log(`${path}: ${files.length} files, ${small} kB, unpacked ${unpacked} kB`);
  }
}

/**
 * Compiles `.proto` texts for tests with the buf command, like `deno task gen`. Needs permission to run deno and to
 * write temporary files.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { deno } from "../../../tasks/checkout/programs.ts";
import { temporaryFolder } from "../../testing/temporary_folder.ts";
import { type DescriptorSet, readUnpackedSet } from "../descriptors/descriptor_set.ts";

const ROOT = decodeURIComponent(new URL("../../../", import.meta.url).pathname);

/**
 * The encoded FileDescriptorSet of some files, given as path to text, with their imports. Throws buf's error if they do
 * not compile.
 */
export async function compileProtos(files: Readonly<Record<string, string>>): Promise<Uint8Array> {
  await using folder = await temporaryFolder();
  for (const [path, text] of Object.entries(files)) {
    const target = `${folder.path}/in/${path}`;
    await Deno.mkdir(target.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(target, text);
  }
  const out = `${folder.path}/out.binpb`;
  const args = ["run", "-A", "@bufbuild/buf", "build", `${folder.path}/in`, "--output", out];
  await deno(args, { cwd: `${ROOT}proto` });
  return await Deno.readFile(out);
}

/**
 * Compiles many schemas in one run of buf: name to the text of a `.proto` file, in which `PACKAGE` is replaced by a
 * package of its own. Each result is a set with its file `m.proto`.
 */
export async function compileApart(
  texts: Readonly<Record<string, string>>,
): Promise<Map<string, DescriptorSet>> {
  const entries = Object.entries(texts).map(([name, text]) =>
    [`${name}/m.proto`, text.replaceAll("PACKAGE", name)] as const
  );
  const bytes = await compileProtos(Object.fromEntries(entries));
  const { file } = fromBinary(FileDescriptorSetSchema, bytes);
  const apart = new Map<string, DescriptorSet>();
  for (const [path] of entries) {
    const set: FileDescriptorSet = {
      $typeName: "google.protobuf.FileDescriptorSet",
      file: file.filter(({ name }) => name === path),
    };
    apart.set(path.split("/")[0] ?? "", readUnpackedSet(toBinary(FileDescriptorSetSchema, set)));
  }
  return apart;
}

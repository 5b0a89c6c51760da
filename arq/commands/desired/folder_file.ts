/** The files that a folder names. What is read is in the folder, also behind links: a folder is all that is planned. */
import { type Io, resolvePath } from "../../terminal/io.ts";

/** The path of a file of the folder. Throws for one that a link leads out of it. */
export async function fileInFolder(io: Io, folder: string, name: string): Promise<string> {
  const file = `${folder}/${name}`;
  const pathOf = (path: string) => io.files.realPath(resolvePath(io.cwd, path));
  const [root, real] = [await pathOf(folder), await pathOf(file)];
  // Who reads what is not there says so.
  if (root === undefined || real === undefined) return file;
  const below = real.startsWith(root) ? real.slice(root.length) : "";
  if (/[/\\]$/.test(root) || /^[/\\]/.test(below)) return file;
  throw new Error(`a link leads to ${real}; expected a file inside of the folder`);
}

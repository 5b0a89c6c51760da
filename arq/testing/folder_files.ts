/** Every file below a folder by its relative path, with its bytes in hex. */
export async function filesOf(folder: string, below = ""): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${below}`)) {
    const path = `${below}${name}`;
    if (isDirectory) Object.assign(all, await filesOf(folder, `${path}/`));
    else all[path] = (await Deno.readFile(`${folder}/${path}`)).toHex();
  }
  return all;
}

/**
 * Does something without the rights of root, which may write wherever it likes; tests often run as root in containers. What it
 * needs to read must be readable to all.
 */
export async function unprivileged<Result>(work: () => Promise<Result>): Promise<Result> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid!(65_534);
  try {
    return await work();
  } finally {
    if (isRoot) process.seteuid!(0);
  }
}

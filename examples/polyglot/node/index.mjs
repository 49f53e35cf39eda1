export const handler = async ({ name }) => {
  if (!name) throw new TypeError("nobody to greet");
  console.log("greeting", name);
  return { greeting: `Hello, ${name}!`, language: `Node.js ${process.versions.node}` };
};

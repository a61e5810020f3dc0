import { describe, expect, it } from "vitest";
import { html, jsonForScript, trusted } from "./html.ts";

describe("html", () => {
  it("escapes everything that is put in, between tags and between quotes of either kind", () => {
    const hostile = `</p><script>alert("1" + '2')</script>&amp;`;
    const escaped = "&lt;/p&gt;&lt;script&gt;alert(&quot;1&quot; + &#39;2&#39;)&lt;/script&gt;&amp;amp;";
    expect(html`<p title="${hostile}">${hostile}</p>`.text).toBe(`<p title="${escaped}">${escaped}</p>`);
  });

  it("takes HTML, numbers and lists of either without escaping twice", () => {
    const items = ["<", "b"].map((item) => html`<i>${item}</i>`);
    expect(html`${items}${2.5}${trusted("<hr>")}`.text).toBe("<i>&lt;</i><i>b</i>2.5<hr>");
  });

  it("is not fooled by an object that only looks like HTML", () => {
    const forged = JSON.parse('["<b>", ["<i>"]]') as string[];
    expect(html`${forged}`.text).toBe("&lt;b&gt;&lt;i&gt;");
  });
});

describe("jsonForScript", () => {
  it("gives JSON that parses back and cannot end or open an element", () => {
    const value = { label: "</script><!--<script>", nan: NaN };
    const { text } = jsonForScript(value);
    expect(text).not.toContain("<");
    expect(JSON.parse(text)).toEqual({ ...value, nan: null });
  });
});

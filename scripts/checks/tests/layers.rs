//! The layer graph in ARCHITECTURE.md is the one cargo builds, and its arrows only point down.

use skep_checks::{Crate, crates, read};
use std::collections::{BTreeMap, BTreeSet};

type Edges = BTreeSet<(String, String)>;

/// The drawing: `subgraph` blocks are layers, the highest first; a line is a crate (with an optional label) or
/// `a --> b & c`.
#[derive(Debug, Default)]
struct Drawing {
    layer_of: BTreeMap<String, usize>,
    arrows: Edges,
}

impl Drawing {
    fn parse(page: &str) -> Result<Self, String> {
        let (_, rest) =
            page.split_once("```mermaid\nflowchart TD\n").ok_or("no layer graph (```mermaid, flowchart TD)")?;
        let (graph, _) = rest.split_once("```").ok_or("the layer graph has no end")?;
        let (mut drawing, mut layers, mut inside) = (Self::default(), 0, false);
        for line in graph.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if line.starts_with("subgraph ") && !inside {
                inside = true;
            } else if line == "end" && inside {
                (inside, layers) = (false, layers + 1);
            } else if let Some((from, to)) = line.split_once(" --> ").filter(|_| !inside) {
                drawing.arrows.extend(to.split(" & ").map(|to| (from.to_owned(), to.to_owned())));
            } else if inside {
                let name = line.split_once('[').map_or(line, |(name, _)| name);
                if drawing.layer_of.insert(name.to_owned(), layers).is_some() {
                    return Err(format!("{name} is drawn twice"));
                }
            } else {
                return Err(format!("not understood: {line}"));
            }
        }
        Ok(drawing)
    }

    /// Arrows that do not lead to a lower layer, or to or from nowhere.
    fn not_down(&self) -> Vec<&(String, String)> {
        let down = |(from, to): &&(String, String)| match (self.layer_of.get(from), self.layer_of.get(to)) {
            (Some(from), Some(to)) => from < to,
            (None, _) | (_, None) => false,
        };
        self.arrows.iter().filter(|arrow| !down(arrow)).collect()
    }
}

/// Everything that can be reached, step by step.
fn closure(edges: &Edges) -> Edges {
    let mut reached = edges.clone();
    loop {
        let further: Edges = reached
            .iter()
            .flat_map(|(a, b)| edges.iter().filter(move |(from, _)| from == b).map(|(_, c)| (a.clone(), c.clone())))
            .filter(|edge| !reached.contains(edge))
            .collect();
        if further.is_empty() {
            return reached;
        }
        reached.extend(further);
    }
}

fn imports(crates: &[Crate]) -> Edges {
    let edges = |one: &Crate| one.imports.iter().map(|other| (one.name.clone(), other.clone())).collect::<Vec<_>>();
    crates.iter().flat_map(edges).collect()
}

#[test]
fn the_drawing_is_what_cargo_builds() {
    let drawing = Drawing::parse(&read("ARCHITECTURE.md").unwrap()).unwrap();
    let crates = crates().unwrap();

    let drawn: BTreeSet<_> = drawing.layer_of.keys().cloned().collect();
    let real: BTreeSet<_> = crates.iter().map(|one| one.name.clone()).collect();
    assert_eq!(drawn, real, "crates drawn and crates of the workspace");

    let imports = imports(&crates);
    let invented: Vec<_> = drawing.arrows.difference(&imports).collect();
    assert!(invented.is_empty(), "drawn, but not imported: {invented:?}");
    // An import that a chain of arrows already shows needs no arrow of its own.
    let shown = closure(&drawing.arrows);
    let missing: Vec<_> = imports.difference(&shown).collect();
    assert!(missing.is_empty(), "imported, but not drawn: {missing:?}");
}

#[test]
fn imports_only_point_down() {
    let drawing = Drawing::parse(&read("ARCHITECTURE.md").unwrap()).unwrap();
    assert_eq!(drawing.not_down(), Vec::<&(String, String)>::new());
}

#[test]
fn messaging_needs_no_substrate() {
    let crates = crates().unwrap();
    let folder: BTreeMap<_, _> = crates.iter().map(|one| (&one.name, &one.folder)).collect();
    let substrate = ["pallets", "runtime", "node"];
    let wrong: Vec<_> = closure(&imports(&crates))
        .into_iter()
        .filter(|(from, to)| {
            folder[from].starts_with("messaging") && substrate.iter().any(|room| folder[to].starts_with(room))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn nothing_shipped_takes_any_certificate_or_loses_power() {
    let crates = crates().unwrap();
    let takers = |of: &str| -> Vec<_> {
        let takers = crates.iter().filter(|one| one.imports.iter().any(|import| import == of));
        takers.map(|one| one.name.as_str()).collect()
    };
    assert_eq!(takers("skep-trusting-tls"), ["skep-bench"]);
    assert!(takers("skep-lost-power").is_empty());
}

#[test]
fn every_room_has_its_line() {
    let page = read("ARCHITECTURE.md").unwrap();
    let line = |one: &Crate| format!("| `{}` |", one.folder.display());
    let missing: Vec<_> = crates().unwrap().into_iter().filter(|one| !page.contains(&line(one))).collect();
    assert!(missing.is_empty(), "no line in the table of rooms: {missing:?}");
}

#[test]
fn a_wrong_drawing_is_noticed() {
    let page = |graph: &str| format!("text\n```mermaid\nflowchart TD\n{graph}\n```\n");
    let layers = "subgraph top\n a[\"a: label\"]\n end\n subgraph low\n b\n c\n end\n";
    let drawing = Drawing::parse(&page(&format!("{layers}a --> b & c"))).unwrap();
    assert_eq!(drawing.arrows.len(), 2);
    assert!(drawing.not_down().is_empty());
    for wrong in ["b --> a", "b --> c", "a --> nobody"] {
        assert_eq!(Drawing::parse(&page(&format!("{layers}{wrong}"))).unwrap().not_down().len(), 1);
    }
    for unreadable in ["subgraph top\na\na\nend", "a ==> b", "end"] {
        Drawing::parse(&page(unreadable)).unwrap_err();
    }
    Drawing::parse("no graph").unwrap_err();

    let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let chain = Edges::from([edge("a", "b"), edge("b", "c"), edge("c", "d")]);
    assert!(closure(&chain).contains(&edge("a", "d")));
    assert_eq!(closure(&chain).len(), 6);
}

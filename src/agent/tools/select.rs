//! Which tools the model is offered, where all of them would make the prompt too long.
//!
//! Pure. The tools stand in the prompt's prefix, and a prefix that changes is evaluated anew: seconds on a laptop. So what is
//! on offer changes only when the question needs a tool that is not: as long as the tools that fit it best are there, the
//! offer stays as it is; a new one is appended while there is room; only when there is none are those left out that nobody
//! has needed for the longest time. A tool that was offered or called is not taken away for another that fits no better.

use std::collections::BTreeMap;

/// A tool as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// What it does and what its arguments are, in words.
    pub words: String,
    /// What it adds to the prompt.
    pub tokens: u32,
}

/// What is on offer in a conversation, and since when each was needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names, in the order in which they were taken.
    chosen: Vec<String>,
    /// When each was last needed, in questions.
    needed: BTreeMap<String, u64>,
    questions: u64,
}

impl Selection {
    /// Nothing on offer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Places in `tools` of the tools to offer for `question`, within `budget` tokens , in an order that
    /// holds from question to question. All of them, in their own order, where they fit; none where the budget is 0.
    pub fn offer(&mut self, tools: &[Candidate], question: &str, budget: u32) -> Vec<usize> {
        self.questions += 1;
        let costs: Vec<u32> = tools.iter().map(|tool| tool.tokens).collect();
        if costs
            .iter()
            .fold(0_u32, |sum, cost| sum.saturating_add(*cost))
            <= budget
        {
            self.chosen = tools.iter().map(|tool| tool.name.clone()).collect();
            return (0..tools.len()).collect();
        }
        let place = |name: &String| tools.iter().position(|tool| tool.name == *name);
        let mut offered: Vec<usize> = self.chosen.iter().filter_map(place).collect();
        // A server that is gone has taken its tools along, or the budget has become smaller.
        while sum(&offered, &costs) > budget {
            offered.pop();
        }
        let rated = rate(tools, question);
        let best = rated.first().map_or(0.0, |(score, _)| *score);
        let wanted: Vec<usize> = rated
            .iter()
            .take(MOST_WANTED)
            .filter(|(score, index)| *score > 0.0 && costs[*index] <= budget)
            // What shares a "set" or "read" with the question is not what it is about.
            .filter(|(score, _)| *score >= best * MEANT)
            .map(|(_, index)| *index)
            .collect();
        for index in &wanted {
            self.needed
                .insert(tools[*index].name.clone(), self.questions);
        }
        for index in wanted {
            if !offered.contains(&index)
                && self.make_room(&mut offered, tools, &costs, index, budget)
            {
                offered.push(index);
            }
        }
        if offered.is_empty() || self.questions == 1 {
            // The first offer is filled up, in the box's own order: what is there need not be appended later.
            for (index, cost) in costs.iter().enumerate() {
                if !offered.contains(&index)
                    && sum(&offered, &costs).saturating_add(*cost) <= budget
                {
                    offered.push(index);
                }
            }
        }
        self.chosen = offered
            .iter()
            .map(|index| tools[*index].name.clone())
            .collect();
        offered
    }

    /// Notes that a tool was called: it stays longer.
    pub fn used(&mut self, name: &str) {
        self.needed.insert(name.to_owned(), self.questions);
    }

    /// Takes out what was needed longest ago until `index` fits; nothing that this question needs.
    fn make_room(
        &self,
        offered: &mut Vec<usize>,
        tools: &[Candidate],
        costs: &[u32],
        index: usize,
        budget: u32,
    ) -> bool {
        let mut left = offered.clone();
        while sum(&left, costs).saturating_add(costs[index]) > budget {
            let last = |index: &usize| self.needed.get(&tools[*index].name).copied().unwrap_or(0);
            // Of those that are equal the last one, so that the beginning of the list, and with it the prefix, holds.
            let oldest = left
                .iter()
                .enumerate()
                .filter(|(_, index)| last(index) < self.questions)
                .min_by_key(|(at, index)| (last(index), std::cmp::Reverse(*at)))
                .map(|(at, _)| at);
            match oldest {
                Some(at) => drop(left.remove(at)),
                None => return false,
            }
        }
        *offered = left;
        true
    }
}

fn sum(indices: &[usize], costs: &[u32]) -> u32 {
    indices
        .iter()
        .fold(0, |sum, index| sum.saturating_add(costs[*index]))
}

/// The share of the best score from which a tool may be meant, too.
const MEANT: f64 = 0.6;

/// Tools that one question may need: the best and what might be meant instead.
const MOST_WANTED: usize = 4;

/// Every tool with how well it fits, the best first; equal ones in the box's order. The weight of a word is the higher the
/// fewer tools have it; one in the name counts three times one in the description.
fn rate(tools: &[Candidate], question: &str) -> Vec<(f64, usize)> {
    let stemmed: Vec<(Vec<String>, Vec<String>)> = tools
        .iter()
        .map(|tool| (stems(&tool.name), stems(&tool.words)))
        .collect();
    let asked = stems(question);
    let weight = |word: &String| {
        let having = stemmed
            .iter()
            .filter(|(name, words)| name.contains(word) || words.contains(word))
            .count();
        (1.0 + tools.len() as f64 / (1.0 + having as f64)).ln()
    };
    let weights: Vec<f64> = asked.iter().map(weight).collect();
    let mut rated: Vec<(f64, usize)> = stemmed
        .iter()
        .enumerate()
        .map(|(index, (name, words))| {
            let score = asked.iter().zip(&weights).map(|(word, weight)| {
                let times = if name.contains(word) {
                    3.0
                } else if words.contains(word) {
                    1.0
                } else {
                    0.0
                };
                times * weight
            });
            (score.sum(), index)
        })
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    rated
}

/// The words of a text without endings and without those that carry nothing, each once.
fn stems(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text
        .to_lowercase()
        .split(|letter: char| !letter.is_alphanumeric())
    {
        if word.chars().count() < 3 || EMPTY.contains(&word) {
            continue;
        }
        let stem = ["ing", "ers", "ies", "es", "ed", "er", "s"]
            .iter()
            .find_map(|ending| {
                word.strip_suffix(ending)
                    .filter(|stem| stem.chars().count() >= 3)
            })
            .unwrap_or(word);
        if !found.iter().any(|known| known == stem) {
            found.push(stem.to_owned());
        }
    }
    found
}

/// Words that say nothing about what is meant.
const EMPTY: &[&str] = &[
    "the", "and", "for", "with", "that", "this", "its", "his", "her", "you", "your", "user",
    "what", "which", "when", "how", "are", "was", "has", "have", "can", "could", "would", "please",
    "tell", "one", "all", "any", "from", "into", "not", "without", "only", "like", "does", "did",
    "give", "get", "let", "there",
];

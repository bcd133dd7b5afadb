//! Who holds how much, and whether one more may: a request is granted, granted after evictions, or refused.
//!
//! Core. Whoever loads something asks first ([`Ledger::request`]), holds what was granted ([`Ledger::hold`]) and gives it
//! back ([`Ledger::release`]); sizes are the plan's at first and the measured ones afterwards ([`Ledger::measured`]). The
//! answer never counts on memory that the voice holds, never has two language models resident, and an eviction list is as
//! short as the order allows: what is least missed goes first, see [`Kind`].

/// Names a holder; the caller chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderId(pub u32);

/// What holds memory, in the order in which it is given up: the first goes first, the voice never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Copies of earlier prompts: costs a prefill.
    PromptCache,
    /// Work that nobody waits for aloud.
    Background,
    /// A language model: costs a load from the disk.
    Llm,
    /// Hearing and speaking.
    Voice,
}

/// Somebody who holds memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub id: HolderId,
    /// What it is.
    pub kind: Kind,
    /// Bytes that it holds.
    pub bytes: u64,
    /// Bytes of them that the graphics processor holds.
    pub gpu_bytes: u64,
    /// It is at work now and cannot be evicted.
    pub busy: bool,
}

/// Somebody who wants memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What for.
    pub kind: Kind,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes of them for the graphics processor.
    pub gpu_bytes: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// There is room.
    Grant,
    /// There is room once these have given theirs back; in the order of eviction.
    Evict(Vec<HolderId>),
    /// There is none, whoever leaves.
    Refuse(Refusal),
}

/// Why not, in bytes: what is missing can be told to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The machine is too small beside the system and the voice. Take a smaller model.
    #[error("{need} bytes are needed and at most {free} could be had")]
    NoMemory {
        /// What was asked for.
        need: u64,
        /// What is free when all that may leave has left.
        free: u64,
    },
    /// The graphics processor may not hold as much. Take a smaller model.
    #[error("the graphics processor would have to hold {need} bytes and has room for {free}")]
    NoGpuMemory {
        /// What was asked for.
        need: u64,
        /// What is free when all that may leave has left.
        free: u64,
    },
    /// Another language model is at work. Wait until it is done.
    #[error("another language model is resident and at work")]
    Busy,
    /// Memory is short already. Wait until the pressure is over.
    #[error("memory is short; nothing is loaded until that is over")]
    Pressure,
}

/// The book of one machine.
#[derive(Debug, Clone)]
pub struct Ledger {
    total: u64,
    os_reserve: u64,
    gpu_limit: Option<u64>,
    holders: Vec<Holder>,
    short: bool,
}

impl Ledger {
    /// An empty book.
    #[must_use]
    pub const fn new(total: u64, os_reserve: u64, gpu_limit: Option<u64>) -> Self {
        Self {
            total,
            os_reserve,
            gpu_limit,
            holders: Vec::new(),
            short: false,
        }
    }

    /// Everybody who holds something.
    #[must_use]
    pub fn holders(&self) -> &[Holder] {
        &self.holders
    }

    /// Bytes that nobody holds; none when more is held than there is.
    #[must_use]
    pub fn free(&self) -> u64 {
        let held: u64 = self.holders.iter().map(|holder| holder.bytes).sum();
        self.total
            .saturating_sub(self.os_reserve.saturating_add(held))
    }

    fn gpu_free(&self) -> u64 {
        let held: u64 = self.holders.iter().map(|holder| holder.gpu_bytes).sum();
        self.gpu_limit
            .map_or(u64::MAX, |limit| limit.saturating_sub(held))
    }

    /// Whether memory is short now: while it is, only the voice gets more.
    pub const fn set_short(&mut self, short: bool) {
        self.short = short;
    }

    /// Decides; changes nothing.
    #[must_use]
    pub fn request(&self, request: Request) -> Decision {
        if self.short && request.kind != Kind::Voice {
            return Decision::Refuse(Refusal::Pressure);
        }
        let mut rest = self.clone();
        let mut evicted = Vec::new();
        if request.kind == Kind::Llm {
            // Two resident models halve each other, whatever the memory says.
            for other in self
                .holders
                .iter()
                .filter(|holder| holder.kind == Kind::Llm)
            {
                if other.busy {
                    return Decision::Refuse(Refusal::Busy);
                }
                rest.release(other.id);
                evicted.push(other.id);
            }
        }
        let mut leaving: Vec<Holder> = rest
            .holders
            .iter()
            .filter(|holder| may_leave(holder, request.kind))
            .copied()
            .collect();
        leaving.sort_by_key(|holder| (holder.kind, std::cmp::Reverse(holder.bytes), holder.id));
        let mut next = leaving.into_iter();
        let fits =
            |rest: &Self| request.bytes <= rest.free() && request.gpu_bytes <= rest.gpu_free();
        while !fits(&rest) {
            let Some(holder) = next.next() else {
                return Decision::Refuse(rest.refusal(request));
            };
            rest.release(holder.id);
            evicted.push(holder.id);
        }
        self.without_needless(&mut evicted, request);
        if evicted.is_empty() {
            Decision::Grant
        } else {
            Decision::Evict(evicted)
        }
    }

    /// Whoever was put on the list before a larger one made room for all stays.
    fn without_needless(&self, evicted: &mut Vec<HolderId>, request: Request) {
        for id in evicted.clone() {
            let kind = self.holders.iter().find(|holder| holder.id == id);
            if request.kind == Kind::Llm && kind.is_some_and(|holder| holder.kind == Kind::Llm) {
                continue;
            }
            let mut rest = self.clone();
            for other in evicted.iter().filter(|other| **other != id) {
                rest.release(*other);
            }
            if request.bytes <= rest.free() && request.gpu_bytes <= rest.gpu_free() {
                evicted.retain(|other| *other != id);
            }
        }
    }

    fn refusal(&self, request: Request) -> Refusal {
        if request.bytes > self.free() {
            Refusal::NoMemory {
                need: request.bytes,
                free: self.free(),
            }
        } else {
            Refusal::NoGpuMemory {
                need: request.gpu_bytes,
                free: self.gpu_free(),
            }
        }
    }

    /// Notes that somebody holds memory; replaces what was noted under the same id.
    pub fn hold(&mut self, holder: Holder) {
        self.release(holder.id);
        self.holders.push(holder);
    }

    /// Notes what a holder really takes.
    pub fn measured(&mut self, id: HolderId, bytes: u64) {
        if let Some(holder) = self.holders.iter_mut().find(|holder| holder.id == id) {
            holder.bytes = bytes;
        }
    }

    /// Notes whether a holder is at work.
    pub fn set_busy(&mut self, id: HolderId, busy: bool) {
        if let Some(holder) = self.holders.iter_mut().find(|holder| holder.id == id) {
            holder.busy = busy;
        }
    }

    /// Notes that a holder has given its memory back.
    pub fn release(&mut self, id: HolderId) {
        self.holders.retain(|holder| holder.id != id);
    }
}

/// Only what is missed less than the wish itself makes room for it; the voice makes room for nobody, and everything idle
/// for the voice.
fn may_leave(holder: &Holder, wish: Kind) -> bool {
    !holder.busy && holder.kind != Kind::Voice && holder.kind < wish
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holder(id: u32, kind: Kind, bytes: u64) -> Holder {
        Holder {
            id: HolderId(id),
            kind,
            bytes,
            gpu_bytes: 0,
            busy: false,
        }
    }

    fn wish(kind: Kind, bytes: u64) -> Request {
        Request {
            kind,
            bytes,
            gpu_bytes: 0,
        }
    }

    #[test]
    fn prompt_caches_leave_before_anything_else_and_the_voice_never() {
        let mut book = Ledger::new(100, 20, None);
        book.hold(holder(1, Kind::Voice, 30));
        book.hold(holder(2, Kind::PromptCache, 20));
        book.hold(holder(3, Kind::Background, 20));
        assert_eq!(book.request(wish(Kind::Llm, 10)), Decision::Grant);
        assert_eq!(
            book.request(wish(Kind::Llm, 25)),
            Decision::Evict(vec![HolderId(2)])
        );
        assert_eq!(
            book.request(wish(Kind::Llm, 50)),
            Decision::Evict(vec![HolderId(2), HolderId(3)])
        );
        assert_eq!(
            book.request(wish(Kind::Llm, 51)),
            Decision::Refuse(Refusal::NoMemory { need: 51, free: 50 })
        );
    }

    #[test]
    fn a_second_language_model_evicts_the_first_even_where_both_fit_and_waits_while_it_works() {
        let mut book = Ledger::new(100, 10, None);
        book.hold(holder(1, Kind::Llm, 30));
        assert_eq!(
            book.request(wish(Kind::Llm, 30)),
            Decision::Evict(vec![HolderId(1)])
        );
        book.set_busy(HolderId(1), true);
        assert_eq!(
            book.request(wish(Kind::Llm, 30)),
            Decision::Refuse(Refusal::Busy)
        );
    }

    #[test]
    fn under_pressure_only_the_voice_gets_more() {
        let mut book = Ledger::new(100, 10, None);
        book.set_short(true);
        assert_eq!(
            book.request(wish(Kind::Background, 1)),
            Decision::Refuse(Refusal::Pressure)
        );
        assert_eq!(book.request(wish(Kind::Voice, 1)), Decision::Grant);
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::PromptCache),
            Just(Kind::Background),
            Just(Kind::Llm),
            Just(Kind::Voice)
        ]
    }

    proptest! {
        /// Whatever is held and asked for: grants fit, evictions make room and are needed, refusals are true.
        #[test]
        fn every_answer_is_true(
            total in 0_u64..200, reserve in 0_u64..60, limit in proptest::option::of(0_u64..150),
            held in proptest::collection::vec((kind(), 0_u64..60, 0_u64..60, any::<bool>()), 0..7),
            asked in (kind(), 0_u64..200, 0_u64..120),
        ) {
            let mut book = Ledger::new(total, reserve, limit);
            for (number, (kind, bytes, gpu, busy)) in (0..).zip(held) {
                book.hold(Holder { gpu_bytes: gpu.min(bytes), busy, ..holder(number, kind, bytes) });
            }
            let request = Request { kind: asked.0, bytes: asked.1, gpu_bytes: asked.2.min(asked.1) };
            let fits = |book: &Ledger| request.bytes <= book.free() && request.gpu_bytes <= book.gpu_free();
            let resident = |book: &Ledger| book.holders().iter().filter(|holder| holder.kind == Kind::Llm).count();
            match book.request(request) {
                Decision::Grant => {
                    prop_assert!(fits(&book));
                    prop_assert!(request.kind != Kind::Llm || resident(&book) == 0);
                }
                Decision::Evict(list) => {
                    let mut after = book.clone();
                    for id in &list {
                        let gone = book.holders().iter().find(|holder| holder.id == *id).unwrap();
                        prop_assert!(gone.kind != Kind::Voice && !gone.busy);
                        after.release(*id);
                    }
                    prop_assert!(fits(&after));
                    prop_assert!(request.kind != Kind::Llm || resident(&after) == 0);
                    for kept in &list {
                        let gone = book.holders().iter().find(|holder| holder.id == *kept).unwrap();
                        if request.kind == Kind::Llm && gone.kind == Kind::Llm { continue; }
                        let mut fewer = book.clone();
                        list.iter().filter(|id| *id != kept).for_each(|id| fewer.release(*id));
                        prop_assert!(!fits(&fewer), "{kept:?} need not leave");
                    }
                }
                Decision::Refuse(Refusal::NoMemory { .. } | Refusal::NoGpuMemory { .. }) => {
                    let mut empty = book.clone();
                    for holder in book.holders().to_vec() {
                        let goes = !holder.busy && holder.kind != Kind::Voice && (holder.kind < request.kind || holder.kind == Kind::Llm && request.kind == Kind::Llm);
                        if goes { empty.release(holder.id); }
                    }
                    prop_assert!(!fits(&empty));
                }
                Decision::Refuse(Refusal::Busy) => {
                    prop_assert!(book.holders().iter().any(|holder| holder.kind == Kind::Llm && holder.busy));
                }
                Decision::Refuse(Refusal::Pressure) => prop_assert!(false, "nobody said that memory is short"),
            }
        }
    }
}

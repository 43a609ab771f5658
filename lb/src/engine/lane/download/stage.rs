//! What has come of a response, made ready for the client: interim ones, head, body,
//! trailers.

use super::super::failure::Failure;
use super::super::response::{After, Towards, write_head, write_interim};
use super::super::scene::{Scene, require_switch};
use super::super::upload::write_last_chunk;
use super::super::workspace::Workspace;
use super::{Download, Phase};
use crate::engine::edits::Edits;
use crate::engine::exchange::Exchange;
use crate::engine::{attempt, retry};
use crate::head::{
    BodyDecoder, CHUNK_END, ResponseFraming, ResponseHead, ResponseLimits, ResponseScanner, Slots,
    parse_response, write_chunk_header,
};
use crate::response::Cause;

impl Download {
    /// Takes in what has come from the endpoint.
    pub(super) fn stage(
        &mut self,
        work: &mut Workspace,
        scene: &mut Scene<'_>,
    ) -> Result<(), Failure> {
        while self.phase == Phase::Head {
            let found = self.scanner.find_end(work.response.bytes(), &ResponseLimits::DEFAULT);
            match found.map_err(|error| Failure::invalid(&error))? {
                Some(length) => self.take_head(length, work, scene)?,
                None => return Ok(()),
            }
        }
        if self.phase == Phase::Body && !work.response.is_empty() {
            self.stage_body(work, scene)?;
        }
        Ok(())
    }

    fn take_head(
        &mut self,
        length: usize,
        work: &mut Workspace,
        scene: &mut Scene<'_>,
    ) -> Result<(), Failure> {
        let mut slots = Slots::default();
        let bytes = &work.response.bytes()[..length];
        let head = parse_response(bytes, &mut slots, &ResponseLimits::DEFAULT)
            .map_err(|error| Failure::invalid(&error))?;
        if head.is_interim() {
            if !scene.request.http10 {
                // Told to send, or something else: the client is not idle.
                scene.upload.untold &= head.status != 100;
                write_interim(&head, &mut work.output);
            }
            self.scanner = ResponseScanner::default();
            work.response.take(length);
            return Ok(());
        }
        attempt::answered(scene.exchange, scene.target, head.status);
        if !self.has_begun() && retry::may_put_aside(scene.exchange, head.status, scene.repeat()) {
            let _ = self.begin_body(&head, work.noted.method(), scene);
            work.response.take(length);
            return self.put_aside(work);
        }
        let after = if head.status == 101 {
            require_switch(&head, scene.exchange, &work.noted.protocols)?;
            self.phase = Phase::Tunnel;
            After::Switch
        } else {
            self.phase = Phase::Body;
            self.begin_body(&head, work.noted.method(), scene)
        };
        self.status = head.status;
        attempt::responds(scene.exchange, scene.target);
        scene.exchange.due = None;
        write_head(&head, scene.exchange, self.towards, after, &mut work.output);
        work.response.take(length);
        if self.phase == Phase::Tunnel {
            return Ok(());
        }
        work.response_trailers.clear();
        let left = match &self.decoder {
            Some(decoder) if decoder.is_done() => {
                self.end(work, scene.exchange);
                0
            }
            Some(decoder) => decoder.length_left().unwrap_or(0),
            None => 0,
        };
        if left > work.response.room() as u64 {
            work.enlarge_response();
        }
        Ok(())
    }

    /// Of a body that is all there already nothing is left on the connection, which
    /// can carry another request; any other ends with it.
    fn put_aside(&mut self, work: &mut Workspace) -> Result<(), Failure> {
        self.phase = Phase::Aside;
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        while !work.response.is_empty() && !decoder.is_done() {
            let Ok(step) = decoder.decode(work.response.bytes()) else { break };
            work.response.take(step.consumed);
        }
        self.reusable &= decoder.is_done() && work.response.is_empty();
        Ok(())
    }

    fn begin_body(
        &mut self,
        head: &ResponseHead<'_, '_>,
        method: &str,
        scene: &Scene<'_>,
    ) -> After {
        let Scene { request, upload, exchange, .. } = scene;
        let framing = head.framing(method);
        self.decoder = Some(BodyDecoder::for_response(framing));
        self.towards = Towards::new(framing, request.http10);
        self.reusable = head.keep_alive && framing != ResponseFraming::UntilClose;
        self.keep_alive = request.keep_alive
            && self.towards != Towards::Close
            // What the client has yet to send of its body has no reader any more.
            && upload.is_taken_in()
            && !exchange.last
            && !scene.shared.closes(scene.exchange);
        match self.keep_alive {
            true => After::KeepAlive { http10: request.http10 },
            false => After::Close,
        }
    }

    fn stage_body(&mut self, work: &mut Workspace, scene: &Scene<'_>) -> Result<(), Failure> {
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        let malformed = |error: crate::head::BodyError| {
            Failure::last(Cause::UpstreamInvalidResponse, error.to_string())
        };
        if !matches!(self.towards, Towards::Chunked) && decoder.is_plain() {
            let step = decoder.decode(work.response.bytes()).map_err(malformed)?;
            self.direct = step.data.len();
            self.body_sent += step.data.len() as u64;
        } else {
            while !work.response.is_empty() && !decoder.is_done() {
                let input = work.response.bytes();
                let step = decoder.decode(input).map_err(malformed)?;
                let data = &input[step.data];
                self.body_sent += data.len() as u64;
                if self.towards == Towards::Close {
                    work.output.extend_from_slice(data);
                } else if !data.is_empty() {
                    write_chunk_header(data.len(), &mut work.output);
                    work.output.extend_from_slice(data);
                    work.output.extend_from_slice(CHUNK_END);
                }
                work.response_trailers.extend_from_slice(&input[step.trailers]);
                work.response.take(step.consumed);
            }
        }
        if self.decoder.as_ref().is_some_and(BodyDecoder::is_done) {
            self.end(work, scene.exchange);
        }
        Ok(())
    }

    /// The last byte of the body has come.
    pub(super) fn end(&mut self, work: &mut Workspace, exchange: &Exchange) {
        self.phase = Phase::End;
        if self.towards == Towards::Chunked {
            let edits = Edits::of(exchange);
            write_last_chunk(&work.response_trailers, |name| !edits.drop(name), &mut work.output);
        }
    }
}

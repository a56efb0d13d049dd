//! Every line once, whatever is killed.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::get;
use crate::link::Link;
use crate::postgres::{Database, Postgres};
use crate::process::{Program, Web, eventually};
use crate::programs::{self, Echo};

/// What the numbers depend on.
const SEED: &str = "4";

/// Three replicas that follow a generator of a thousand lines a second, all of which may be killed.
struct System {
    postgres: Postgres,
    database: Database,
    echo: Echo,
    generator: Program,
    /// Between the replicas and the database; and between them and the echo.
    links: [Link; 2],
    replicas: Vec<Web>,
    kills: Vec<&'static str>,
}

impl System {
    fn start(postgres: Postgres) -> Self {
        let (database, echo) = (postgres.database(), Echo::start());
        let generator = generate(&echo);
        let links = [Link::to(([127, 0, 0, 1], database.port).into()), Link::to(echo.address)];
        let replicas = (0..3).map(|number| replica(&database, &links, number)).collect();
        Self { postgres, database, echo, generator, links, replicas, kills: Vec::new() }
    }

    /// Kills or cuts something, by the number `choice`.
    fn harm(&mut self, choice: u64) {
        let number = (choice / 7 % 3) as usize;
        let what = match choice % 7 {
            0 => {
                self.replicas[number].program.signal(Signal::KILL);
                self.replicas[number] = replica(&self.database, &self.links, number);
                "web"
            }
            1 => {
                self.postgres.crash();
                "postmaster"
            }
            2 => {
                // What only one of the backends suffers, the others do too: Postgres starts all of them anew.
                let _ = self.database.try_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'web%' \
                     ORDER BY random() LIMIT 2",
                );
                "backend"
            }
            3 => {
                self.echo.kill();
                self.echo.run();
                "echo"
            }
            4 => {
                self.generator.signal(Signal::KILL);
                self.generator = generate(&self.echo);
                "generator"
            }
            choice => {
                self.links[choice as usize - 5].cut();
                ["link to the database", "link to the echo"][choice as usize - 5]
            }
        };
        self.kills.push(what);
    }

    /// Lets the generator end, and compares what is stored with its file.
    fn compare(mut self) -> u64 {
        self.generator.signal(Signal::TERM);
        self.generator.ended();
        let file = fs::read(self.echo.file()).unwrap();
        let stored = format!("/read?generation={}", self.echo.generation());
        let at = self.replicas[0].address;
        eventually("all is stored", || get(at, &stored).body.len() >= file.len());
        let answer = get(at, &stored);
        assert!(answer.body == file, "the table is not the file");
        let copy = self.echo.folder.path().join("copy");
        fs::write(&copy, &answer.body).unwrap();
        let verified = Command::new(programs::path("generator")).args(["verify", "--seed", SEED]).arg(copy).status();
        assert!(verified.unwrap().success());
        let lines = String::from_utf8(file).unwrap().lines().count() as u64;
        assert_eq!(self.database.count(), lines, "nothing twice, and nothing else");
        assert_eq!(self.database.sql("SELECT count(*) FROM gaps"), "0");
        println!("{lines} lines; {:?}", self.kills);
        lines
    }
}

fn generate(echo: &Echo) -> Program {
    programs::generator(&echo.folder, &["--interval", "1ms", "--seed", SEED])
}

fn replica(database: &Database, links: &[Link; 2], number: usize) -> Web {
    let mut command = database.web_through(links[0].port);
    command.env("WEB_FOLLOW", format!("http://{}/data", links[1].address()));
    Web::start(command.env("WEB_NAME", format!("web-{number}")))
}

/// Kills or cuts something each second for so long, in another order at each run; returns how many lines there were.
fn each_second(time: Duration) -> Option<u64> {
    let mut system = System::start(Postgres::start()?);
    let (began, mut choice) = (Instant::now(), u64::from(std::process::id()));
    while began.elapsed() < time {
        thread::sleep(Duration::from_secs(1));
        choice = choice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        system.harm(choice >> 33);
    }
    Some(system.compare())
}

#[test]
fn whatever_is_killed_each_second_for_twenty_seconds() {
    let Some(lines) = each_second(Duration::from_secs(20)) else { return };
    assert!(lines > 1000, "{lines}");
}

/// At 500 lines a second and more, even where the machine is busy.
#[test]
#[ignore = "two minutes"]
fn whatever_is_killed_each_second_for_two_minutes() {
    let Some(lines) = each_second(Duration::from_mins(2)) else { return };
    assert!(lines > 20_000, "{lines}");
}

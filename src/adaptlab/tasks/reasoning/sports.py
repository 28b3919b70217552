"""Is a sentence about an athlete plausible? (BIG-bench: sports understanding.)

A sentence puts an athlete to an action at an event. Action and event are always of one sport, as in
the lecture's example; what is asked is whether it is the athlete's.
"""

from dataclasses import dataclass

from adaptlab.tasks.problems import Problem, ProblemTask, from_pool
from adaptlab.tasks.reasoning.checks import same_word


@dataclass(frozen=True)
class Sport:
    """athletes: known for this sport and no other. actions: that each of them may have done."""

    name: str
    athletes: tuple[str, ...]
    actions: tuple[str, ...]
    events: tuple[str, ...]


SPORTS = (
    Sport(
        "soccer",
        ("Lionel Messi", "Cristiano Ronaldo", "Kylian Mbappé", "Zinedine Zidane", "Luka Modrić",
         "Thierry Henry", "Megan Rapinoe", "Alex Morgan", "Aitana Bonmatí"),
        ("scored from a corner kick", "headed the ball over the crossbar", "took a penalty kick",
         "was shown a yellow card for a late tackle", "bent a free kick around the wall"),
        ("at the World Cup", "in the Champions League", "in the group stage"),
    ),
    Sport(
        "basketball",
        ("LeBron James", "Stephen Curry", "Kobe Bryant", "Magic Johnson", "Larry Bird",
         "Shaquille O'Neal", "Tim Duncan", "Kevin Durant", "Dirk Nowitzki"),
        ("dunked on a fast break", "made two free throws", "grabbed a defensive rebound",
         "sank a shot at the buzzer", "was called for travelling"),
        ("in the NBA Finals", "in the NBA All-Star Game", "in an NBA season opener"),
    ),
    Sport(
        "tennis",
        ("Serena Williams", "Roger Federer", "Rafael Nadal", "Novak Djokovic", "Steffi Graf",
         "Martina Navratilova", "Andre Agassi", "Venus Williams", "Iga Świątek"),
        ("served a double fault", "won the tie-break", "hit a backhand down the line",
         "saved a break point", "returned a lob with a smash"),
        ("at Wimbledon", "at Roland Garros", "in the third set"),
    ),
    Sport(
        "American football",
        ("Tom Brady", "Patrick Mahomes", "Peyton Manning", "Aaron Rodgers", "Joe Montana",
         "Dan Marino", "Brett Favre", "Drew Brees", "Troy Aikman"),
        ("threw a touchdown pass", "was sacked by a linebacker", "completed a screen pass",
         "fumbled the snap", "called an audible at the line of scrimmage"),
        ("in an NFL play-off game", "in the two-minute drill", "on third down"),
    ),
    Sport(
        "baseball",
        ("Babe Ruth", "Derek Jeter", "Hank Aaron", "Willie Mays", "Ichiro Suzuki",
         "Ted Williams", "Barry Bonds", "Albert Pujols", "Mike Trout"),
        ("hit a home run", "stole second base", "struck out swinging", "drew a walk",
         "grounded into a double play"),
        ("in the ninth inning", "in the MLB All-Star Game", "against a left-handed pitcher"),
    ),
    Sport(
        "ice hockey",
        ("Wayne Gretzky", "Sidney Crosby", "Alexander Ovechkin", "Mario Lemieux", "Bobby Orr",
         "Gordie Howe", "Jaromír Jágr", "Connor McDavid", "Mark Messier"),
        ("scored with a slap shot", "sat two minutes in the penalty box for tripping",
         "passed the puck from behind the net", "hit the post on a power play",
         "cleared the puck from the defensive zone"),
        ("in a Stanley Cup play-off game", "in an NHL season opener", "in the third period"),
    ),
    Sport(
        "golf",
        ("Tiger Woods", "Rory McIlroy", "Phil Mickelson", "Jack Nicklaus", "Arnold Palmer",
         "Seve Ballesteros", "Jon Rahm", "Jordan Spieth", "Ernie Els"),
        ("holed a long putt for birdie", "sliced the tee shot into the trees",
         "chipped out of a bunker", "missed the fairway with a driver", "made par"),
        ("at the Masters in Augusta", "on the eighteenth hole", "in the final round at St Andrews"),
    ),
)  # fmt: skip


def load() -> ProblemTask:
    """945 plausible sentences, and 5,670 in which the athlete is of another sport; balanced.

    An athlete, and an action, is in every split: what is new in test is how they are put together.
    """
    pool = [
        _problem(athlete, player, f"{action} {event}", played)
        for player in SPORTS
        for athlete in player.athletes
        for played in SPORTS
        for action in played.actions
        for event in played.events
    ]
    return from_pool("sports", "boolean", ("yes", "no"), pool, same_word, balanced=True)


def _problem(athlete: str, player: Sport, deed: str, played: Sport) -> Problem:
    plausible = player is played
    return Problem(
        f'Is this sentence plausible? "{athlete} {deed}."',
        "yes" if plausible else "no",
        (
            f"{player.name[0].upper()}{player.name[1:]} is the sport of {athlete}.",
            f'"{deed[0].upper()}{deed[1:]}" is said of {played.name}.',
            f"So the sentence is {'plausible' if plausible else 'not plausible'}.",
        ),
    )

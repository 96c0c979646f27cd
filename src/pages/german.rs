//! The pages in German.

use super::Text;

pub(super) const fn german(text: Text) -> &'static str {
    match text {
        Text::Seconds => "{number} Sekunden",
        Text::Minutes => "{number} Minuten",
        Text::Hours => "{number} Stunden",
        Text::Days => "{number} Tage",
        Text::OneSecond => "1 Sekunde",
        Text::JustNow => "gerade eben",
        Text::AMinuteAgo => "vor einer Minute",
        Text::MinutesAgo => "vor {number} Minuten",
        Text::HoursAgo => "vor {number} Stunden",
        Text::DaysAgo => "vor {number} Tagen",
        Text::OnThisComputer => "ein Programm auf diesem Computer",
        Text::OnThisDevice => "eine App auf diesem Gerät",
        Text::ConsentTitle => "Zugriff auf Ihr Konto erlauben?",
        Text::ConsentHeading => "Darf {client} Ihr Konto verwenden?",
        Text::SignedInAs => "Angemeldet als {subject}",
        Text::AnotherAccount => "Anderes Konto verwenden",
        Text::CompareCode => {
            "Sie sind dabei, ein Gerät zu verbinden. Prüfen Sie, dass es vor Ihnen steht und genau diesen Code anzeigt:"
        }
        Text::SentCode => "Hat Ihnen jemand diesen Code oder einen Link auf diese Seite geschickt?",
        Text::SentCodeText => {
            "Dann wählen Sie „Ablehnen“: Wenn Sie erlauben, kommt diese Person in Ihr Konto."
        }
        Text::Unvouched => "Niemand bürgt für diese Anwendung.",
        Text::UnvouchedHost => {
            "Sie hat sich selbst angemeldet und ihren Namen selbst gewählt. Erlauben Sie es nur, wenn Sie das selbst begonnen haben und {destination} kennen."
        }
        Text::UnvouchedComputer => {
            "Sie hat sich selbst angemeldet und ihren Namen selbst gewählt. Erlauben Sie es nur, wenn Sie das selbst in einem Programm auf diesem Computer begonnen haben."
        }
        Text::UnvouchedApp => {
            "Sie hat sich selbst angemeldet und ihren Namen selbst gewählt. Erlauben Sie es nur, wenn Sie das selbst in einer App auf diesem Gerät begonnen haben."
        }
        Text::UnvouchedDevice => {
            "Sie hat sich selbst angemeldet und ihren Namen selbst gewählt. Erlauben Sie es nur, wenn Sie das selbst begonnen haben."
        }
        Text::MayDo => "Was sie tun darf",
        Text::NothingAsked => "Sie bittet um keine bestimmte Berechtigung.",
        Text::ManyAsked => {
            "Das sind {number} Berechtigungen. Wenn das mehr ist, als die Anwendung braucht, lehnen Sie ab."
        }
        Text::Where => "Wo sie das tun darf",
        Text::Details => "Einzelheiten",
        Text::AnswerGoesTo => "Die Antwort geht an",
        Text::DeviceAddress => "Das Gerät fragte von",
        Text::DeviceAsked => "Das Gerät fragte",
        Text::Lasts => "Der Zugriff gilt",
        Text::AtMost => "höchstens {time}",
        Text::Website => "Website",
        Text::PrivacyPolicy => "Datenschutzerklärung",
        Text::TermsOfService => "Nutzungsbedingungen",
        Text::ApplicationId => "Kennung der Anwendung",
        Text::Allow => "Erlauben",
        Text::Deny => "Ablehnen",
        Text::DeviceTitle => "Gerät verbinden",
        Text::DeviceTitleProblem => "Problem: Gerät verbinden",
        Text::DeviceHint => {
            "Geben Sie den Code ein, den Ihr Gerät anzeigt. Groß- und Kleinschreibung, Leerzeichen und Striche spielen keine Rolle."
        }
        Text::DeviceHintFilledIn => {
            "Schauen Sie auf Ihr Gerät: Fahren Sie nur fort, wenn es genau diesen Code anzeigt."
        }
        Text::GivenCode => "Hat Ihnen jemand einen Code geschickt?",
        Text::GivenCodeText => {
            "Geben Sie ihn hier nicht ein: Diese Person käme damit in Ihr Konto."
        }
        Text::Code => "Code",
        Text::Continue => "Weiter",
        Text::WrongCode => {
            "Dieser Code ist nicht gültig. Sehen Sie auf Ihr Gerät und geben Sie ein, was es anzeigt. Zeigt es einen neuen Code, ist der alte abgelaufen."
        }
        Text::LeavingTitle => "Diese Anfrage kann nicht beantwortet werden",
        Text::LeavingText => {
            "Die Anwendung muss erfahren, dass ihre Anfrage nicht beantwortet werden konnte. Sie hat nichts bekommen."
        }
        Text::LeavingUnvouched => "Niemand bürgt für die Anwendung, die Sie hierher geschickt hat.",
        Text::LeavingHost => {
            "Gehen Sie nur weiter, wenn Sie {destination} kennen. Schließen Sie sonst diese Seite."
        }
        Text::LeavingComputer => {
            "Gehen Sie nur weiter, wenn Sie {destination} kennen, ein Programm auf diesem Computer. Schließen Sie sonst diese Seite."
        }
        Text::LeavingApp => {
            "Gehen Sie nur weiter, wenn Sie {destination} kennen, eine App auf diesem Gerät. Schließen Sie sonst diese Seite."
        }
        Text::ContinueTo => "Weiter zu {destination}",
        Text::AppsTitle => "Verbundene Anwendungen",
        Text::AppsText => {
            "Diese Anwendungen dürfen Ihr Konto verwenden. Entfernen Sie, was Sie nicht mehr verwenden oder nicht kennen."
        }
        Text::NoApps => "Keine Anwendung hat Zugriff auf Ihr Konto.",
        Text::NoAppsText => {
            "Wenn Sie einer den Zugriff erlauben, steht sie hier, und Sie können ihn zurücknehmen."
        }
        Text::AppRemoved => "Der Zugriff wurde entfernt.",
        Text::AppUnvouched => "Selbst angemeldet: Niemand bürgt für sie",
        Text::AppDevice => "Ein Gerät",
        Text::AppOnComputer => "Ein Programm auf einem Computer",
        Text::AppOnDevice => "Eine App auf einem Gerät",
        Text::AppWhere => "Wo sie ist",
        Text::AppSince => "Hat Zugriff seit",
        Text::AppLastUsed => "Zuletzt genutzt",
        Text::AppEnds => "Zugriff endet",
        Text::Remove => "Zugriff entfernen",
        Text::RemoveText => {
            "{client} verliert den Zugriff auf Ihr Konto. Sie kann Sie erneut fragen."
        }
        Text::RemoveNow => "Ja, entfernen",
        Text::MoreApps => "Weitere Anwendungen",
        Text::FewerApps => "Zurück",
        Text::ConnectedTitle => "Gerät verbunden",
        Text::ConnectedText => "Sie können diese Seite schließen und zu Ihrem Gerät zurückkehren.",
        Text::DeniedTitle => "Anfrage abgelehnt",
        Text::DeniedText => "Das Gerät hat nichts bekommen. Sie können diese Seite schließen.",
        Text::AnsweredTitle => "Bereits beantwortet",
        Text::AnsweredText => {
            "Diese Anfrage wurde schon beantwortet, und dabei bleibt es. Sie können diese Seite schließen. Um neu zu beginnen, gehen Sie zurück zur Anwendung."
        }
        Text::ForgedTitle => "Nicht angenommen",
        Text::ForgedText => {
            "Die Antwort kam nicht von der Seite, die Sie gefragt hat. Gehen Sie zurück zur Anwendung und beginnen Sie neu."
        }
        Text::ForgedCodeText => {
            "Der Code kam nicht von dieser Seite. Öffnen Sie sie selbst und geben Sie den Code dort ein."
        }
        Text::ForgedRemovalText => {
            "Es wurde nichts entfernt: Das Formular kam nicht von dieser Seite, oder sie war zu lange offen. Öffnen Sie die Liste der verbundenen Anwendungen noch einmal und wiederholen Sie es dort."
        }
        Text::ToList => "Verbundene Anwendungen zeigen",
        Text::ToDevice => "Code eingeben",
        Text::ExpiredTitle => "Abgelaufen",
        Text::ExpiredText => {
            "Diese Anfrage ist abgelaufen oder nicht bekannt. Gehen Sie zurück zur Anwendung und beginnen Sie neu."
        }
        Text::UnknownTitle => "Unbekannte Anwendung",
        Text::UnknownText => {
            "Die Anwendung ist hier nicht bekannt. Falls Sie von einer kommen, die Sie verwenden, muss sie angemeldet oder neu eingerichtet werden."
        }
        Text::UnregisteredTitle => "Nicht weitergeleitet",
        Text::UnregisteredText => {
            "Die Adresse, an die es zurückgehen soll, ist für diese Anwendung nicht angemeldet. Damit nichts in falsche Hände gerät, werden Sie nicht dorthin geschickt. Sagen Sie es den Herstellern der Anwendung."
        }
        Text::TooManyTitle => "Bitte warten",
        Text::TooManyText => {
            "Es gab zu viele Versuche. Warten Sie {time}, und versuchen Sie es dann noch einmal."
        }
        Text::UnavailableTitle => "Zurzeit nicht erreichbar",
        Text::UnavailableText => {
            "Hier ist etwas fehlgeschlagen, und es liegt nicht an Ihnen. Warten Sie einen Augenblick und laden Sie die Seite dann neu."
        }
        Text::NotSignedInTitle => "Nicht angemeldet",
        Text::NotSignedInText => {
            "Sie kommen von der Anmeldung zurück, aber hier ist niemand angemeldet. Erlauben Sie Cookies für diese Website und öffnen Sie die Seite dann noch einmal."
        }
        Text::InvalidTitle => "Das funktioniert nicht",
        Text::InvalidText => {
            "Diese Anfrage kann nicht beantwortet werden. Gehen Sie dorthin zurück, woher Sie kommen, und beginnen Sie neu. Geschieht es wieder, sagen Sie es den Herstellern der Anwendung."
        }
        Text::Technical => "Für die Hersteller der Anwendung",
        Text::ErrorId => "Wenn Sie um Hilfe bitten, nennen Sie",
    }
}
